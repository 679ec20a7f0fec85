import { fetchToken } from "../account.js";
import { Operations } from "./api.js";
import { Page } from "./page.js";

/** How often what is shown is looked at anew. */
const EVERY = 5_000;
/** Development tokens last for longer than this. */
const TOKEN_AGE = 60_000;

let token: { text: Promise<string>; since: number } | undefined;

/** A real application asks its own login service, which says who may administer which topics. */
function operatorToken(): Promise<string> {
  if (!token || Date.now() - token.since > TOKEN_AGE) {
    token = { text: fetchToken("operator", AbortSignal.timeout(10_000)), since: Date.now() };
    token.text.catch(() => (token = undefined));
  }
  return token.text;
}

const root = document.querySelector("#operator");
if (root) {
  const page = new Page(new Operations(operatorToken));
  root.append(page.element);
  void page.refresh();
  setInterval(() => {
    if (document.visibilityState === "visible") void page.refresh();
  }, EVERY);
}
