// Elements with text in them. Whatever a user or an agent said is text, never markup.

const LIMIT = 20000; // characters of one text on the page

export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function button(label, action, className = "") {
  const element = make("button", className, label);
  element.type = "button";
  element.addEventListener("click", action);
  return element;
}

// A text that grows up to a bound, and then says how much of it is left out.
export class Growing {
  #kept = 0;
  #left = 0;
  #node = document.createTextNode("");
  #more = make("span", "unimportant");

  constructor(element) {
    element.append(this.#node, this.#more);
  }

  add(text) {
    const fits = text.slice(0, LIMIT - this.#kept);
    this.#kept += fits.length;
    this.#left += text.length - fits.length;
    this.#node.appendData(fits);
    if (!this.#left) return;
    this.#more.textContent = ` … and ${this.#left.toLocaleString("en")} characters more: the log has them all.`;
  }

  get text() {
    return this.#node.data;
  }
}

export function pre(value) {
  const element = make("pre");
  new Growing(element).add(typeof value === "string" ? value : JSON.stringify(value, null, 2));
  return element;
}

// The time of day, UTC as everywhere in the console.
export const clock = (iso) => (iso ? iso.slice(11, 19) : "");

export function seconds(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  return ms < 10000 ? `${(ms / 1000).toFixed(2)} s` : `${Math.round(ms / 1000)} s`;
}
