// The conversation: what was said, thought, done and asked, as the thread's log tells it.
import { Growing, button, clock, make, pre } from "./make.js";

const MOST = 500; // entries on the page
const NEAR = 60; // px from the end: whoever reads there is taken along
const VERDICTS = { allow_once: "allowed", reject_once: "rejected" };

const NOTHING = "Nothing was said yet. What you send, and what the agent answers, appears here as the log has it.";

const head = (event, by, ...more) =>
  make("div", "by", make("span", "", by), ...more, make("span", "", clock(event.occurredAt)));

export class Talk {
  #log;
  #decide;
  #open = null; // the entry that the next delta belongs to
  #asked = new Map(); // permission requests that may still be open, by id
  #tools = new Map(); // calls under way, by id
  #dropped = 0;

  constructor(log, decide) {
    this.#log = log;
    this.#decide = decide;
    this.clear();
  }

  clear() {
    this.#log.replaceChildren(make("p", "empty", NOTHING));
    this.#open = null;
    this.#dropped = 0;
    this.#asked.clear();
    this.#tools.clear();
  }

  add(event) {
    switch (event.type) {
      case "user.message": return this.#whole("user", "you", event, event.content);
      case "agent.message.delta": return this.#delta("agent", "agent", event);
      case "agent.thinking.delta": return this.#delta("side", "agent, thinking", event);
      case "tool.use.started": return this.#tool(event);
      case "tool.use.completed": return this.#used(event);
      case "tool.confirmation.required": return this.#ask(event);
      case "run.started": return this.#mark(event, "run started");
      case "run.completed": return this.#over(event, "run over");
      case "run.failed": return this.#over(event, `run failed: ${event.content ?? ""}`, "bad");
      case "usage.updated": return this.#mark(event, `${event.tokens ?? 0} tokens`);
      case "session.status": return null;
      default: return this.#custom(event);
    }
  }

  // Something that the page itself has to say. `action`: a label and what its button does.
  notice(kind, text, action = null) {
    const element = make("p", `notice ${kind}`, text);
    if (action) {
      const [label, act] = action;
      const press = button(label, () => { press.remove(); act(); });
      element.append(press);
    }
    this.#put(element);
  }

  // What the runs, asked for at `since`, say of the requests: one is open only while its run waits for it.
  settle(runs, since) {
    const going = new Set(runs.filter((run) => run.status !== "waiting_input").map((run) => run.id));
    for (const [id, { run, end, begun }] of this.#asked) {
      if (!going.has(run) || begun >= since) continue;
      end("settled");
      this.#asked.delete(id);
    }
  }

  #whole(kind, by, event, text) {
    const { element, growing } = this.#entry(kind, by, event);
    growing.add(text ?? "");
    this.#put(element);
  }

  #delta(kind, by, event) {
    if (this.#open?.run !== event.runId || this.#open.type !== event.type) {
      const { element, growing } = this.#entry(kind, by, event);
      this.#put(element);
      element.setAttribute("aria-busy", "true");
      this.#open = { run: event.runId, type: event.type, element, growing };
    }
    const follow = this.#atEnd();
    this.#open.growing.add(event.content ?? "");
    if (follow) this.#toEnd();
  }

  #entry(kind, by, event) {
    const text = make("div", "text");
    const element = make("div", `entry ${kind}`, head(event, by), text);
    return { element, growing: new Growing(text) };
  }

  #tool(event) {
    const state = make("span", "", "at work");
    const element = make("div", "entry side", head(event, `tool ${event.toolName ?? ""}`, state));
    if (event.toolInput !== undefined && event.toolInput !== null) element.append(pre(event.toolInput));
    this.#tools.set(event.toolCallId, { element, state });
    this.#put(element);
  }

  #used(event) {
    const call = this.#tools.get(event.toolCallId);
    this.#tools.delete(event.toolCallId);
    const said = event.status === "error" ? "failed" : "done";
    if (!call) return this.#whole("side", `tool, ${said}`, event, event.content);
    call.state.textContent = said;
    if (event.content !== null) call.element.append(pre(event.content));
  }

  #ask(event) {
    const note = make("input");
    note.placeholder = "note, if you like";
    note.maxLength = 2000;
    note.setAttribute("aria-label", "Note to the decision");
    const answer = make("div", "buttons");
    const end = (text) => answer.replaceChildren(make("b", "", text));
    const choose = async (decision) => {
      answer.querySelectorAll("button").forEach((one) => { one.disabled = true; });
      const told = await this.#decide(event.requestId, decision, note.value.trim());
      if (told && !told.warnings.length) {
        this.#asked.delete(event.requestId);
        end(note.value.trim() ? `${VERDICTS[decision]}: ${note.value.trim()}` : VERDICTS[decision]);
      } else {
        answer.querySelectorAll("button").forEach((one) => { one.disabled = false; });
      }
    };
    answer.append(
      button("Allow once", () => choose("allow_once"), "main"),
      button("Reject", () => choose("reject_once"), "danger"),
      note,
    );
    const wants = event.toolName ? `asks for a permission: ${event.toolName}` : "asks for a permission";
    const { element, growing } = this.#entry("ask", wants, event);
    growing.add(event.content ?? "");
    if (event.toolInput !== undefined && event.toolInput !== null) element.append(pre(event.toolInput));
    element.append(answer);
    this.#asked.set(event.requestId, { run: event.runId, end, begun: performance.now() });
    this.#put(element);
  }

  #over(event, text, kind = "") {
    for (const [id, request] of this.#asked) {
      if (request.run !== event.runId) continue;
      request.end("settled");
      this.#asked.delete(id);
    }
    this.#mark(event, text, kind);
  }

  #mark(event, text, kind = "") {
    this.#put(make("p", `mark ${kind}`, `${clock(event.occurredAt)} · ${text.slice(0, 2000)}`));
  }

  #custom(event) {
    const element = make("div", "entry side", head(event, event.toolName ?? event.type), pre(event.content ?? ""));
    this.#put(element);
  }

  #put(element) {
    const follow = this.#atEnd();
    this.#open?.element.removeAttribute("aria-busy");
    this.#open = null;
    this.#log.querySelector(".empty")?.remove();
    this.#log.append(element);
    if (this.#log.childElementCount > MOST) this.#drop();
    if (follow) this.#toEnd();
  }

  #drop() {
    this.#dropped += 1;
    if (this.#dropped === 1) this.#log.prepend(make("p", "mark", "What came before is left out here: the log has it."));
    this.#log.children[1].remove();
  }

  #atEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}
