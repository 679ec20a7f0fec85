import { until } from "./until.mjs";

/** Opens the task board in a tab, under a name; without an address, on the page that is there. */
export async function board(tab, url, name) {
  if (url) await tab.goto(url);
  const gate = tab.locator("#name");
  await gate.or(tab.locator(".board")).first().waitFor();
  if (await gate.isVisible()) {
    await gate.fill(name);
    await tab.getByRole("button", { name: "Open the board" }).click();
    await tab.locator(".board").waitFor();
  }
  return new Board(tab);
}

/** What a person sees and does on the board. */
export class Board {
  constructor(tab) {
    this.tab = tab;
  }

  async add(column, ...titles) {
    const section = this.tab.locator(`[data-column=${column}]`);
    await section.locator(".composer-open").click();
    for (const title of titles) {
      await section.locator(".composer-title").fill(title);
      await section.locator(".composer-title").press("Enter");
      await until(`the card "${title}" is there`, async () => (await this.titles(column)).includes(title));
    }
    await section.locator(".composer-title").press("Escape");
  }

  /** The card of that title, by its position: it stays the same card when the title changes. */
  async card(title) {
    const id = await until(`there is a card "${title}"`, () =>
      this.tab.evaluate((title) => {
        const cards = [...document.querySelectorAll(".card")];
        return cards.find((card) => card.querySelector(".card-title").value === title)?.dataset.card;
      }, title),
    );
    return this.tab.locator(`[data-card="${id}"]`);
  }

  async setTitle(title, next) {
    await edit((await this.card(title)).locator(".card-title"), next);
  }

  async setNote(title, note) {
    await edit((await this.card(title)).locator(".card-note"), note);
  }

  async vote(title) {
    await (await this.card(title)).getByRole("button", { name: /^Vote for this card/ }).click();
  }

  async votes(title) {
    const text = await (await this.card(title)).locator(".vote").innerText();
    return Number(text.replace("▲", ""));
  }

  async addLabel(title, label) {
    const field = (await this.card(title)).locator(".label-input");
    await field.fill(label);
    await field.press("Enter");
  }

  async removeLabel(title, label) {
    await (await this.card(title)).getByRole("button", { name: `Remove the label ${label}` }).click();
  }

  async labels(title) {
    const labels = await (await this.card(title)).locator(".label").allInnerTexts();
    return labels.map((text) => text.replace(" ×", ""));
  }

  async setNotice(text) {
    await edit(this.tab.getByRole("textbox", { name: "Notice" }), text);
  }

  notice() {
    return this.tab.getByRole("textbox", { name: "Notice" }).inputValue();
  }

  untilNotice(text) {
    return until(`the notice is "${text}"`, async () => (await this.notice()) === text);
  }

  /** The one conflict that waits for this person. */
  async conflict() {
    await this.tab.getByRole("heading", { name: "1 conflict waits for you" }).waitFor();
    return this.tab.locator(".conflict");
  }

  /** What a side of a conflict says: who and when, and the text. */
  async side(name) {
    const side = (await this.conflict()).getByRole("region", { name, exact: true });
    return {
      who: await side.locator(".who-when").innerText(),
      text: await side.locator("blockquote").innerText(),
    };
  }

  async move(title, column) {
    await (await this.card(title)).getByRole("button", { name: `Move to ${column}` }).click();
  }

  async remove(title) {
    await (await this.card(title)).getByRole("button", { name: "Delete this card" }).click();
  }

  /** The titles of a column, from top to bottom. */
  titles(column) {
    const titles = this.tab.locator(`[data-column=${column}] .card-title`);
    return titles.evaluateAll((fields) => fields.map((field) => field.value));
  }

  note(title) {
    return this.card(title).then((card) => card.locator(".card-note").inputValue());
  }

  async pendingCards() {
    return this.tab.locator(".card.pending").count();
  }

  link() {
    return this.tab.locator(".link-words").innerText();
  }

  saved() {
    return this.tab.locator(".saved").innerText();
  }

  /** The number on the badge; 0 while there is none. */
  async badge() {
    const badge = this.tab.locator(".badge");
    return (await badge.isVisible()) ? Number(await badge.innerText()) : 0;
  }

  async network(allowed) {
    const toggle = this.tab.getByRole("switch", { name: "Network" });
    const state = (await toggle.getAttribute("aria-checked")) === "true";
    if (state !== allowed) await toggle.click();
  }

  untilLink(words, patience) {
    return until(`the link is "${words}"`, async () => (await this.link()).startsWith(words), patience);
  }

  untilSaved(words, patience) {
    return until(`the page says "${words}"`, async () => (await this.saved()).includes(words), patience);
  }

  untilTitles(column, titles) {
    const wanted = JSON.stringify(titles);
    return until(
      `${column} shows ${wanted}`,
      async () => JSON.stringify(await this.titles(column)) === wanted,
    );
  }
}

async function edit(field, text) {
  await field.fill(text);
  await field.blur();
}
