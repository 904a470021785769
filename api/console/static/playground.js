// The playground: a client of the public API. This file puts its parts together; each part is a module beside it.
import { Client, Refusal, curl } from "./playground/client.js";
import { Choice } from "./playground/choice.js";
import { Loan } from "./playground/loan.js";
import { Raw } from "./playground/raw.js";
import { Runs } from "./playground/runs.js";
import { follow } from "./playground/stream.js";
import { Talk } from "./playground/talk.js";

const root = document.getElementById("playground");
const at = (id) => document.getElementById(id);
const START = 1000; // entries of a thread's log that are read at first: the most that a stream gives
const SOON = 250; // ms: what happens at once asks for the runs once

// `turn` counts the threads that were left: what was asked before is not shown behind it.
const page = { account: "", agent: null, thread: null, stream: null, late: null, turn: 0 };
const loan = root && new Loan(root.dataset.csrf, tokenChanged);
const client = new Client(() => loan.secret, showRequest);
const talk = root && new Talk(at("log"), decide);
const raw = root && new Raw(at("raw"), at("raw-count"));
const runs = root && new Runs(at("runs"), at("no-runs"), at("interrupt"));

// What is sent

async function send(event) {
  event.preventDefault();
  if (at("send").disabled) return; // keys don't ask whether the button may be pressed
  const text = at("text").value;
  if (!text.trim()) return at("text").focus();
  if (!ready()) return;
  const busy = at("on-busy").value;
  const message = { type: "user_message", text, ...(busy ? { on_busy: busy } : {}) };
  const request = page.thread
    ? client.post(`/threads/${page.thread}/events`, { events: [message] })
    : client.post(`/agents/${page.agent.id}/threads`, {
        input: { type: "user.message", content: [{ type: "text", text }] },
      });
  at("send").disabled = true;
  const fresh = !page.thread;
  const turn = page.turn;
  await attempt(request, (answer) => {
    if (at("text").value === text) at("text").value = "";
    at("text").focus();
    if (fresh && turn === page.turn) begin(answer.thread);
  });
  at("send").disabled = false;
}

function ready() {
  if (!loan.secret) {
    talk.notice("warn", "There is no token yet: get one for this page, or paste one of your own.");
  } else if (!page.thread && !page.agent) {
    talk.notice("warn", "Choose an agent first. This account gets one with: threadmill agent create … --publish");
  } else {
    return true;
  }
  return false;
}

// The answer of a request, which `then` gets as well; null where it was refused. Then the log says why, and where it may
// be sent again, it is with the same key: whatever became of the first one, it counts once.
async function attempt(request, then = null) {
  const turn = page.turn;
  try {
    const answer = await client.perform(request);
    if (turn !== page.turn) {
      then?.(answer);
      return answer;
    }
    for (const one of answer.warnings ?? []) talk.notice("warn", `${one.message} (${one.code})`);
    if (answer.thread) showThread(answer.thread);
    then?.(answer);
    refresh();
    return answer;
  } catch (error) {
    const again = () => (ready() ? attempt(request, then) : refuse(error, again));
    if (turn === page.turn || !(error instanceof Refusal)) refuse(error, error.retriable ? again : null);
    return null;
  }
}

function refuse(error, again = null) {
  if (!(error instanceof Refusal)) throw error;
  const about = [error.code, error.status, error.requestId && `request ${error.requestId}`].filter(Boolean).join(", ");
  talk.notice("bad", `${error.message} (${about})`, again && ["Send it again", again]);
  if (error.status === 401) loan.forget("over");
}

const tell = (event) => attempt(client.post(`/threads/${page.thread}/events`, { events: [event] }));

async function decide(request, decision, note) {
  const event = { type: "permission_decision", requestId: request, decision, ...(note ? { note } : {}) };
  return page.thread && ready() ? tell(event) : null;
}

function interrupt() {
  if (page.thread && ready()) tell({ type: "user_interrupt" });
}

// The thread

function begin(thread) {
  page.thread = thread.id;
  at("thread").value = "";
  showThread(thread);
  remember();
  listen();
}

function leaveThread() {
  page.turn += 1;
  page.stream?.close();
  page.thread = page.stream = null;
  talk.clear();
  raw.clear();
  runs.clear();
  at("thread-id").textContent = "";
  at("thread-status").hidden = at("stream-state").hidden = true;
  remember();
}

async function resume(event) {
  event?.preventDefault();
  const wanted = at("thread").value.trim() || page.thread;
  if (!wanted) return at("thread").focus();
  if (!ready()) return;
  leaveThread();
  const turn = page.turn;
  try {
    const answer = await client.perform(client.get(`/threads/${encodeURIComponent(wanted)}`));
    if (turn === page.turn && !page.thread) begin(answer.thread);
  } catch (error) {
    if (turn !== page.turn && error instanceof Refusal) return;
    at("thread").value = wanted;
    refuse(error);
    if (error.status === 404) talk.notice("note", "A thread is found with a token of its own account only.");
  }
}

function listen() {
  page.stream?.close();
  page.stream = follow({
    address: `/api/v1/threads/${page.thread}/events/stream?limit=${START}`,
    secret: () => loan.secret,
    heard,
    state: showStream,
    refused: (error) => refuse(error),
  });
  refresh();
}

function heard(event) {
  raw.add(event);
  talk.add(event);
  if (event.type === "session.status") status(event.content);
  if (!event.type.endsWith(".delta")) refresh();
}

function refresh() {
  clearTimeout(page.late);
  page.late = setTimeout(async () => {
    const thread = page.thread;
    const since = performance.now();
    if (!thread || !loan.secret) return;
    try {
      const found = await client.perform(client.get(`/threads/${thread}/runs?limit=20`, { quiet: true }));
      if (thread !== page.thread) return;
      runs.show(found.runs);
      talk.settle(found.runs, since);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!error.retriable && thread === page.thread) refuse(error);
    }
  }, SOON);
}

// What is shown

function showThread(thread) {
  at("thread-id").textContent = thread.id;
  status(thread.status);
}

function status(text) {
  at("thread-status").textContent = text.toLowerCase();
  at("thread-status").className = `badge ${text === "RUNNING" ? "note" : "plain"}`;
  at("thread-status").hidden = false;
}

function showStream(kind, text) {
  at("stream-state").className = `live-state ${kind}`;
  at("stream-state").textContent = text;
  at("stream-state").hidden = false;
}

function showRequest(request) {
  at("request").textContent = curl(request, location.origin);
  at("copy").disabled = false;
  at("copied").textContent = "";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(at("request").textContent);
    at("copied").textContent = "Copied.";
  } catch { // no permission, or a page without https
    getSelection().selectAllChildren(at("request"));
    at("copied").textContent = "Selected: copy it with Ctrl+C.";
  }
}

function tokenChanged(kind, text) {
  at("token-state").className = `badge ${kind}`;
  at("token-state").textContent = text;
  at("give-back").hidden = !loan.secret;
  at("give-back").textContent = loan.lent ? "Give it back" : "Forget it";
  at("lend").hidden = loan.secret !== null;
  if (!loan.secret) {
    page.stream?.close();
    if (page.stream) showStream("note", "not followed: no token");
    page.stream = null;
  } else if (page.thread) {
    resume();
  }
}

// Ids only: a reload goes on with the same thread.
function remember() {
  const kept = { account: page.account, agent: page.agent?.id, thread: page.thread };
  const query = new URLSearchParams(Object.entries(kept).filter(([, value]) => value));
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

// Who speaks to whom

function accountChosen(account) {
  if (!account || account.id === page.account) return;
  page.account = account.id;
  page.agent = null;
  loan.giveBack();
  leaveThread();
  agents.load();
}

function agentChosen(agent) {
  const other = page.agent && agent?.id !== page.agent.id;
  page.agent = agent;
  const closed = agent && !agent.published;
  at("unpublished").hidden = !closed;
  at("unpublished").textContent = closed
    ? `${agent.name} is not published: it takes no new threads, and answers in those that it has. `
      + `Publish it on the page Agents, or with: threadmill agent publish ${agent.id}`
    : "";
  if (other && page.thread) leaveThread();
  remember();
}

const NAMES = "/console/playground";
const of = () => ({ account: page.account });
const accounts = root && new Choice(at("choose-account"), `${NAMES}/accounts`, () => ({}), accountChosen);
const agents = root && new Choice(at("choose-agent"), `${NAMES}/agents`, of, agentChosen);

function start() {
  const { account, accountName, agent, agentName, agentPublished, thread } = root.dataset;
  page.account = account;
  page.agent = agent ? { id: agent, name: agentName, published: agentPublished === "yes" } : null;
  page.thread = thread || null;
  accounts.begin({ id: account, name: accountName });
  agents.begin(page.agent);
  agentChosen(page.agent);
  if (page.thread) {
    at("thread-id").textContent = page.thread;
    talk.notice("note", "This thread's history is shown once there is a token.");
  }
  at("say").addEventListener("submit", send);
  at("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  });
  at("interrupt").addEventListener("click", interrupt);
  at("thread-form").addEventListener("submit", resume);
  at("new-thread").addEventListener("click", () => {
    leaveThread();
    at("text").focus();
  });
  at("copy").addEventListener("click", copy);
  at("lend").addEventListener("click", () => loan.borrow(page.account));
  at("give-back").addEventListener("click", () => loan.giveBack());
  at("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    loan.own(at("own").value.trim());
    at("own").value = "";
  });
  loan.watch();
}

if (root) start();
