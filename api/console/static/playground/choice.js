// A choice among very many: a list of the first names, more of them on demand, fewer by how they begin.
import { ask } from "./console.js";
import { make } from "./make.js";

const PAUSE = 200; // ms that somebody who types rests

export class Choice {
  #select;
  #named;
  #more;
  #path;
  #fixed;
  #chosen;
  #items = new Map();
  #after = null;
  #asked = 0;

  constructor(box, path, fixed, chosen) {
    this.#select = box.querySelector("select");
    this.#named = box.querySelector("input");
    this.#more = box.querySelector(".more");
    this.#path = path;
    this.#fixed = fixed;
    this.#chosen = chosen;
    let timer = null;
    this.#named.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#read(null, this.#items.get(this.#select.value)), PAUSE); // what is chosen stays
    });
    this.#select.addEventListener("change", () => this.#choose());
    this.#more.addEventListener("click", () => this.#read(this.#after));
  }

  // Shows what the page begins with, and the first names behind it.
  begin(item) {
    this.#read(null, item);
  }

  // The first names of something else: the default one of them is chosen, else the first.
  async load() {
    this.#named.value = "";
    this.#clear();
    await this.#read(null);
  }

  async #read(after, keep = null) {
    const asked = ++this.#asked;
    const wanted = { ...this.#fixed(), named: this.#named.value.trim(), ...(after ? { after } : {}) };
    let found;
    try {
      found = await ask(`${this.#path}?${new URLSearchParams(wanted)}`);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#put(make("option", "", error.message), after === null);
      if (after === null && !keep) this.#choose();
      return;
    }
    if (asked !== this.#asked) return;
    if (after === null) this.#clear(keep);
    for (const item of found.items) if (!this.#items.has(item.id)) this.#add(item);
    if (!this.#items.size) this.#put(make("option", "", this.#named.value ? "no name begins so" : "none yet"), true);
    this.#after = found.after;
    this.#more.hidden = found.after === null;
    if (after === null && !keep) this.#first();
  }

  // What the list shows as chosen is what is spoken to.
  #first() {
    const own = [...this.#items.values()].find((item) => item.default);
    if (own) this.#select.value = own.id;
    this.#choose();
  }

  #clear(keep) {
    this.#items.clear();
    this.#select.replaceChildren();
    if (keep) this.#add(keep);
  }

  #add(item) {
    this.#items.set(item.id, item);
    const option = make("option", "", item.published === false ? `${item.name} (not published)` : item.name);
    option.value = item.id;
    this.#select.append(option);
  }

  #put(option, alone) {
    option.value = "";
    if (alone) this.#select.replaceChildren(option);
    else this.#select.append(option);
  }

  #choose() {
    const item = this.#items.get(this.#select.value) ?? null;
    if (item || !this.#select.value) this.#chosen(item);
  }
}
