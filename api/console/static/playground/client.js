// Requests to the public API, as any client sends them: a bearer token, no cookie.
const PREFIX = "/api/v1";
const CHANGED = "It was refused with a token that the page has no more: nothing was done.";
const PATIENCE = 35000; // ms: the API waits 30 s at most

export class Refusal extends Error {
  constructor(status, code, message, requestId = "") {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }

  // Whether the same request may well be taken a moment later; its key sees to it that it counts once.
  get retriable() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export async function refusalOf(response) {
  const told = await response.json().catch(() => null);
  const { code = "", message = response.statusText || "The answer can't be read." } = told?.error ?? {};
  const after = response.headers.get("Retry-After");
  const text = after ? `${message} Try again in ${after} s.` : message;
  return new Refusal(response.status, code, text, response.headers.get("X-Request-Id") ?? "");
}

export class Client {
  #secret;
  #shown;

  // `secret` gives the token; `shown` is told of each request that is not a quiet one.
  constructor(secret, shown) {
    this.#secret = secret;
    this.#shown = shown;
  }

  get(path, { quiet = false } = {}) {
    return { method: "GET", path: PREFIX + path, headers: {}, quiet };
  }

  post(path, document) {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID?.() ?? random() };
    return { method: "POST", path: PREFIX + path, headers, body: JSON.stringify(document), quiet: false };
  }

  // The document that the API answers. Throws Refusal.
  async perform(request) {
    if (!request.quiet) this.#shown(request);
    const { method, path, headers, body } = request;
    const secret = this.#secret();
    try {
      const response = await fetch(path, {
        method,
        body,
        headers: { ...headers, Authorization: `Bearer ${secret}` },
        credentials: "omit",
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (response.status === 401 && secret !== this.#secret()) throw new Refusal(0, "", CHANGED);
      if (!response.ok) throw await refusalOf(response);
      return await response.json();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal(0, "", "The API did not answer: it is not known whether the request went in.");
    }
  }
}

// `randomUUID` is there on https and on this machine only.
function random() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// The request for a terminal; the token is left out.
export function curl({ method, path, headers, body }, origin) {
  const parts = [
    `curl -X ${method} ${quoted(origin + path)}`,
    `-H "Authorization: Bearer $TOKEN"`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    ...(body === undefined ? [] : [`--data-raw ${quoted(body)}`]),
  ];
  return parts.join(" \\\n  ");
}
