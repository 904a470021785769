// The page's token: in this memory alone, never in the document, the address or any storage.
import { ask } from "./console.js";

const PATIENCE = 5000; // ms that a logout waits for it

export class Loan {
  #csrf;
  #changed;
  #held = null; // { secret, id, proof, timer }; without an id it is the operator's own, and not ours to revoke
  #asking = 0;

  // `changed` is told how it stands: a kind and a text.
  constructor(csrf, changed) {
    this.#csrf = csrf;
    this.#changed = changed;
  }

  get secret() {
    return this.#held?.secret ?? null;
  }

  get lent() {
    return this.#held?.id !== undefined;
  }

  async borrow(account) {
    this.#return();
    const asked = ++this.#asking;
    this.#changed("note", "asking…");
    try {
      const { secret, id, proof, seconds } = await ask("/console/playground/token", { csrf: this.#csrf, account });
      if (asked !== this.#asking) return this.#send({ id, proof }); // another account, or token, was chosen meanwhile
      const timer = setTimeout(() => this.forget("over"), seconds * 1000);
      this.#held = { secret, id, proof, timer };
      this.#changed("good", `lent until ${new Date(Date.now() + seconds * 1000).toISOString().slice(11, 16)}`);
    } catch (error) {
      if (asked === this.#asking) this.#changed("bad", error.message);
    }
  }

  own(secret) {
    if (!secret) return;
    this.#asking += 1;
    this.#return();
    this.#held = { secret };
    this.#changed("good", "your own");
  }

  async giveBack() {
    this.#asking += 1;
    if (!this.#held) return this.#changed("plain", "none yet");
    const lent = this.lent;
    const returned = this.#return();
    this.#changed("note", "giving it back…");
    const asking = this.#asking;
    const taken = await returned;
    if (asking !== this.#asking) return; // what is shown is another one's
    if (taken) this.#changed("plain", lent ? "given back" : "none");
    else this.#changed("bad", "not given back: it ends by itself, or on the page Tokens");
  }

  // It is of no use any more; that it is over is said to the console, too, where it was lent.
  forget(why) {
    this.#return();
    this.#changed("warn", why);
  }

  // Gives it back whenever the page is left; before a logout, because behind it nobody may any more.
  watch() {
    addEventListener("pagehide", () => this.giveBack());
    document.addEventListener("submit", async (event) => {
      if (!event.target.matches('form[action="/console/logout"]') || !this.#held?.id) return;
      event.preventDefault();
      await this.#return();
      event.target.submit();
    });
  }

  #return() {
    const held = this.#held;
    this.#held = null;
    clearTimeout(held?.timer);
    return held?.id ? this.#send(held) : true;
  }

  // Whether the console took it. `keepalive`: it goes out even where the page ends with it.
  async #send({ id, proof }) {
    const body = new URLSearchParams({ csrf: this.#csrf, token: id, proof });
    const signal = AbortSignal.timeout(PATIENCE);
    return fetch("/console/playground/return", { method: "POST", body, keepalive: true, signal })
      .then((response) => response.ok && !response.redirected, () => false);
  }
}
