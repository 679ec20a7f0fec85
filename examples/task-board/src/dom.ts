type Child = Node | string | undefined;

interface Attributes {
  readonly [name: string]: string | boolean | undefined;
}

/** An element with attributes (`true`: present, `false` or `undefined`: absent) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "string") element.setAttribute(name, value);
    else if (value) element.setAttribute(name, "");
  }
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
}

/** A button that does something, labelled by its text or, where that is a symbol, by `label`. */
export function button(
  text: string,
  className: string,
  press: () => void,
  label?: string,
): HTMLButtonElement {
  const element = el("button", { type: "button", class: className, "aria-label": label, title: label }, text);
  element.addEventListener("click", press);
  return element;
}

/** Writes text only when it differs, so that screen readers announce changes and nothing else. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes the children of `parent` exactly `wanted`, in order, moving only those that are out of place. */
export function arrange(parent: Element, wanted: readonly Element[]): void {
  // Moving an element takes the focus away from what is in it.
  const focused = document.activeElement;
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, index) => {
    const there = parent.children[index];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
  if (focused instanceof HTMLElement && focused !== document.activeElement && parent.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}
