// The events as they came, each as its JSON; the latest last.
import { Growing, make } from "./make.js";

const MOST = 300; // on the page

export class Raw {
  #box;
  #count;
  #heard = 0;

  constructor(box, count) {
    this.#box = box;
    this.#count = count;
  }

  clear() {
    this.#box.replaceChildren();
    this.#heard = 0;
    this.#count.textContent = "0";
  }

  add(event) {
    const element = make("pre");
    new Growing(element).add(JSON.stringify(event));
    this.#box.append(element);
    if (this.#box.childElementCount > MOST) this.#box.firstElementChild.remove();
    this.#heard += 1;
    this.#count.textContent = this.#heard > MOST ? `${this.#heard}, the last ${MOST} shown` : String(this.#heard);
  }
}
