// OpenAI's own client for Node, unmodified, against a running service. Each check does one thing and prints what it saw
// as one line of JSON; nothing is judged here, the test that starts this program does it. What goes wrong ends it.
//
// Told by the environment: THREADMILL_URL, _TOKEN, _AGENT (which echoes), _APPROVE (which asks first), and of a second
// service, which never applies anything, THREADMILL_IDLE_URL, _IDLE_TOKEN, _IDLE_THREAD and _IDLE_AGENT.
import OpenAI from 'openai';

const told = Object.fromEntries(
  ['URL', 'TOKEN', 'AGENT', 'APPROVE', 'IDLE_URL', 'IDLE_TOKEN', 'IDLE_THREAD', 'IDLE_AGENT'].map((name) => {
    const value = process.env[`THREADMILL_${name}`];
    if (!value) throw new Error(`THREADMILL_${name} is not set`);
    return [name, value];
  }),
);
const MESSAGES = 250; // more than two of the largest pages
const options = { baseURL: `${told.URL}/v1`, apiKey: told.TOKEN, maxRetries: 0 };
const threads = new OpenAI(options).beta.threads;
const echo = { assistant_id: told.AGENT };
const approve = { assistant_id: told.APPROVE };

const text = (message) => message.content[0].text.value;
const user = (content) => ({ role: 'user', content });
const opened = async (...words) => (await threads.create({ messages: words.map(user) })).id;

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function said(thread, query = {}) {
  return (await all(threads.messages.list(thread, { order: 'asc', ...query }))).map((one) => [one.role, text(one)]);
}

// The class of what a call throws, and what its user sees of it.
async function thrown(call) {
  try {
    await call();
  } catch (error) {
    const { status, code, param, type } = error;
    return { class: error.constructor.name, status, code, param, type, named: Boolean(error.requestID) };
  }
  return null;
}

const checks = {
  async thread() {
    const made = await threads.create({ messages: [user('hello')], metadata: { a: '1', b: '2' } });
    const read = await threads.retrieve(made.id);
    const updated = await threads.update(made.id, { metadata: { a: '', c: '3' } });
    const gone = await threads.delete(made.id);
    const after = await thrown(() => threads.retrieve(made.id));
    return { object: made.object, metadata: read.metadata, updated: updated.metadata, gone, id: made.id, after };
  },

  async message() {
    const thread = await opened();
    const made = await threads.messages.create(thread, { ...user('hello'), metadata: { a: '1' } });
    const place = { thread_id: thread };
    const read = await threads.messages.retrieve(made.id, place);
    const updated = await threads.messages.update(made.id, { ...place, metadata: { b: '2' } });
    const gone = await threads.messages.delete(made.id, place);
    const after = await thrown(() => threads.messages.retrieve(made.id, place));
    return { text: text(read), status: made.status, updated: updated.metadata, gone, id: made.id, after };
  },

  async pages() {
    const thread = await opened();
    for (let n = 0; n < MESSAGES; n += 1) await threads.messages.create(thread, user(String(n)));
    const walked = {};
    for (const order of ['asc', 'desc']) {
      const pages = [];
      for await (const page of (await threads.messages.list(thread, { order, limit: 100 })).iterPages()) {
        pages.push(page.data.length);
      }
      const found = await all(threads.messages.list(thread, { order, limit: 100 }));
      walked[order] = { pages, texts: found.map(text) };
    }
    return walked;
  },

  async create_and_poll() {
    const thread = await opened('one');
    await threads.messages.create(thread, user('two'));
    const run = await threads.runs.createAndPoll(thread, { ...echo, additional_messages: [user('three')] });
    const again = await threads.runs.retrieve(run.id, { thread_id: thread });
    const listed = await all(threads.runs.list(thread, { limit: 1 }));
    return {
      status: run.status,
      usage: run.usage.total_tokens,
      same: JSON.stringify(again) === JSON.stringify(run),
      listed: listed.map((one) => one.id === run.id),
      said: await said(thread),
      answers: await said(thread, { run_id: run.id }),
    };
  },

  async create_and_run_poll() {
    const run = await threads.createAndRunPoll({ ...echo, thread: { messages: [user('at once')] } });
    return { status: run.status, said: await said(run.thread_id) };
  },

  async submit_tool_outputs_and_poll() {
    const outcomes = [];
    for (const output of ['allow', '{"decision":"deny"}']) {
      const thread = await opened('water the plants');
      const asked = await threads.runs.createAndPoll(thread, approve);
      const [call] = asked.required_action.submit_tool_outputs.tool_calls;
      const done = await threads.runs.submitToolOutputsAndPoll(asked.id, {
        thread_id: thread,
        tool_outputs: [{ tool_call_id: call.id, output }],
      });
      outcomes.push([asked.status, call.function.name, done.status, (await said(thread)).at(-1)[1]]);
    }
    return { outcomes };
  },

  async cancel() {
    const thread = await opened('/slow 60');
    const run = await threads.runs.create(thread, echo);
    const busy = await thrown(() => threads.runs.create(thread, echo));
    const { response } = await threads.runs.retrieve(run.id, { thread_id: thread }).withResponse();
    const gone = await threads.runs.cancel(run.id, { thread_id: thread });
    const again = await thrown(() => threads.runs.cancel(run.id, { thread_id: thread }));
    return { poll_after: response.headers.get('openai-poll-after-ms'), status: gone.status, busy, again };
  },

  async stream() {
    const thread = await opened('one two three');
    const stream = threads.runs.stream(thread, echo);
    const deltas = [];
    const events = [];
    stream.on('textDelta', (delta) => deltas.push(delta.value));
    stream.on('event', ({ event }) => events.push(event));
    const run = await stream.finalRun();
    const messages = await stream.finalMessages();
    return { status: run.status, events, deltas, messages: messages.map(text) };
  },

  async stream_is_iterated() {
    const stream = threads.createAndRunStream({ ...echo, thread: { messages: [user('once more')] } });
    const names = (await all(stream)).map(({ event }) => event);
    return { first: names[0], last: names.at(-1) };
  },

  async stream_of_outputs() {
    const thread = await opened('go on');
    const asked = await threads.runs.stream(thread, approve).finalRun();
    const [call] = asked.required_action.submit_tool_outputs.tool_calls;
    const done = threads.runs.submitToolOutputsStream(asked.id, {
      thread_id: thread,
      tool_outputs: [{ tool_call_id: call.id, output: 'allow' }],
    });
    const run = await done.finalRun();
    return { asked: asked.status, status: run.status, messages: (await done.finalMessages()).map(text) };
  },

  async stream_is_cancelled() {
    const thread = await opened('/slow 60');
    const stream = threads.runs.stream(thread, echo);
    stream.once('textDelta', () => threads.runs.cancel(stream.currentRun().id, { thread_id: thread }));
    const run = await stream.finalRun();
    const [message] = await stream.finalMessages();
    return { status: run.status, message: message.status, reason: message.incomplete_details.reason };
  },

  async stream_is_left() {
    const thread = await opened('/slow 1');
    const stream = threads.runs.stream(thread, echo);
    stream.once('textDelta', () => stream.abort());
    const left = await thrown(() => stream.finalRun());
    const [run] = await all(threads.runs.list(thread));
    const whole = await threads.runs.poll(run.id, { thread_id: thread });
    return { left: left.class, status: whole.status };
  },

  async failure() {
    const thread = await opened('/fail');
    const run = await threads.runs.createAndPoll(thread, echo);
    const stream = await threads.runs.stream(thread, { ...echo, additional_messages: [user('/fail')] }).finalRun();
    return { status: run.status, code: run.last_error.code, message: run.last_error.message, stream: stream.status };
  },

  async errors() {
    const thread = await opened();
    const stranger = new OpenAI({ ...options, apiKey: `mst_${'a'.repeat(43)}` });
    const idle = new OpenAI({ ...options, baseURL: `${told.IDLE_URL}/v1`, apiKey: told.IDLE_TOKEN });
    const nobody = new OpenAI({ ...options, baseURL: 'http://127.0.0.1:1/v1' });
    const hasty = new OpenAI({ ...options, baseURL: `${told.IDLE_URL}/v1`, apiKey: told.IDLE_TOKEN, timeout: 50 });
    const stopped = AbortSignal.abort();
    const edit = (client) => () => client.beta.threads.update(told.IDLE_THREAD, { metadata: { a: '1' } });
    return {
      bad: await thrown(() => threads.update(thread, { metadata: { a: 'v'.repeat(513) } })),
      cursor: await thrown(() => threads.messages.list(thread, { after: 'msg_unknown' })),
      stranger: await thrown(() => stranger.beta.threads.retrieve(thread)),
      unknown: await thrown(() => threads.retrieve('thread_unknown')),
      large: await thrown(() => threads.messages.create(thread, user('x'.repeat(1_100_000)))),
      unavailable: await thrown(edit(idle)),
      nobody: await thrown(() => nobody.beta.threads.create()),
      timeout: await thrown(edit(hasty)),
      aborted: await thrown(() => threads.create({}, { signal: stopped })),
      refused: await thrown(() => threads.runs.stream(thread, { assistant_id: 'asst_unknown' }).finalRun()),
      within: await thrown(() => idle.beta.threads.createAndRunStream({ assistant_id: told.IDLE_AGENT }).finalRun()),
    };
  },
};

for (const [check, look] of Object.entries(checks)) {
  console.log(JSON.stringify({ check, ...(await look()) }));
}
