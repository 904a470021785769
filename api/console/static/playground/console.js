// What the page asks of the console itself: names to choose from, and its token. With the login's cookie.
import { Refusal } from "./client.js";

export async function ask(path, form = null) {
  let response;
  try {
    response = await fetch(path, {
      method: form ? "POST" : "GET",
      body: form && new URLSearchParams(form),
      cache: "no-store",
      signal: AbortSignal.timeout(15000),
    });
  } catch {
    throw new Refusal(0, "", "The console did not answer.");
  }
  if (response.redirected) throw new Refusal(401, "", "Your login is over: reload the page.");
  const told = await response.json().catch(() => null);
  if (response.ok && told) return told;
  const { code = "", message = "The console refused: reload the page." } = told?.error ?? {};
  throw new Refusal(response.status, code, message);
}
