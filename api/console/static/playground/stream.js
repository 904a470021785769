// A thread's log, live: server-sent events read with fetch, because EventSource can't send a token.
import { Refusal, refusalOf } from "./client.js";

const SHORTEST = 500; // ms between two tries
const LONGEST = 10000;
const SILENCE = 40000; // ms; the API says something every 15 s
const LIVED = 5000; // ms: a connection that lived so long was one
const LARGEST = 4 << 20; // characters of one event

// Follows until it is closed or refused for good. `heard` gets each event, `state` what the connection is.
export function follow({ address, secret, heard, state, refused }) {
  const ended = new AbortController();
  const seen = { last: "" };
  run().catch((error) => {
    if (!ended.signal.aborted) throw error;
  });
  return { close: () => ended.abort() };

  async function run() {
    let wait = SHORTEST;
    while (!ended.signal.aborted) {
      const begun = performance.now();
      try {
        await connect();
      } catch (error) {
        if (ended.signal.aborted) return;
        if (error instanceof Refusal && !error.retriable) {
          state("bad", "not followed");
          refused(error);
          return;
        }
      }
      if (ended.signal.aborted) return;
      state("bad", "reconnecting");
      wait = performance.now() - begun > LIVED ? SHORTEST : Math.min(wait * 2, LONGEST);
      await pause(wait * (0.5 + Math.random() / 2));
    }
  }

  // One connection, until it ends or is silent for too long.
  async function connect() {
    const silent = new AbortController();
    let timer = setTimeout(() => silent.abort(), SILENCE);
    try {
      const response = await fetch(address, {
        headers: {
          Accept: "text/event-stream",
          Authorization: `Bearer ${secret()}`,
          ...(seen.last ? { "Last-Event-ID": seen.last } : {}),
        },
        credentials: "omit",
        cache: "no-store",
        signal: AbortSignal.any([ended.signal, silent.signal]),
      });
      if (!response.ok) throw await refusalOf(response);
      state("good", "live");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silent.abort(), SILENCE);
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        if (rest.length > LARGEST) throw new Error("an event without an end");
        blocks.forEach(take);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  function take(block) {
    const field = { event: "message", data: "", id: "" };
    for (const line of block.split("\n")) {
      const found = /^(event|data|id): ?(.*)$/.exec(line);
      if (found) field[found[1]] = found[1] === "data" && field.data ? `${field.data}\n${found[2]}` : found[2];
    }
    if (!field.data) return;
    const told = JSON.parse(field.data);
    if (field.event === "thread.error") {
      const { code, message } = told.error;
      throw new Refusal({ unauthenticated: 401, not_found: 404 }[code] ?? 503, code, message);
    }
    if (field.id) seen.last = field.id;
    heard(told);
  }

  function pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      ended.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }
}
