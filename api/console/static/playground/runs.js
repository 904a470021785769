// The thread's latest runs: how each stands, how long it waited, how long it took.
import { clock, make, seconds } from "./make.js";

const KINDS = { completed: "good", failed: "bad", expired: "bad", cancelled: "warn", waiting_input: "warn" };
const OVER = new Set(["completed", "failed", "cancelled", "expired"]);

export class Runs {
  #rows;
  #none;
  #interrupt;

  constructor(rows, none, interrupt) {
    this.#rows = rows;
    this.#none = none;
    this.#interrupt = interrupt;
    this.clear();
  }

  clear() {
    this.#rows.replaceChildren();
    this.#none.hidden = false;
    this.#interrupt.disabled = true;
  }

  show(runs) {
    this.#rows.replaceChildren(...runs.map(row));
    this.#none.hidden = runs.length > 0;
    this.#interrupt.disabled = runs.every((run) => OVER.has(run.status));
  }
}

function row(run) {
  const id = make("code", "id", `…${run.id.slice(-8)}`);
  id.title = run.id;
  const state = make("td", "", make("span", `badge ${KINDS[run.status] ?? "note"}`, run.status.replace("_", " ")));
  if (run.error) state.title = `${run.error.code}: ${run.error.message}`;
  const between = (from, to) => seconds(from && to ? Date.parse(to) - Date.parse(from) : null);
  return make(
    "tr", "",
    make("td", "", id), state,
    make("td", "", clock(run.createdAt)),
    make("td", "number", between(run.createdAt, run.startedAt)),
    make("td", "number", between(run.startedAt, run.completedAt)),
  );
}
