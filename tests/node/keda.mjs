// Holds DOCUMENTS (a JSON list) against KEDA's own schemas and prints a line of JSON for each: what is wrong with it.
// The schemas pass over names that they don't know; so each object goes in behind a proxy that notes what is asked for.

const SCHEMAS = './node_modules/@kubernetes-models/keda/_schemas/ComGithubKedacoreKedaV2ApisKedaV1alpha1';
const KINDS = ['ScaledObject', 'TriggerAuthentication'];

function watched(value, place, unasked) {
  if (value === null || typeof value !== 'object') return value;
  const children = new Map();
  for (const name of Object.keys(value)) {
    children.set(name, watched(value[name], `${place}/${name}`, unasked));
    unasked.add(`${place}/${name}`);
  }
  return new Proxy(value, {
    get(target, name) {
      unasked.delete(`${place}/${String(name)}`);
      return children.has(name) ? children.get(name) : target[name];
    },
  });
}

async function troubles(document) {
  if (!KINDS.includes(document.kind)) return [`/kind: ${document.kind} is none of ${KINDS.join(', ')}`];
  const { validate } = await import(`${SCHEMAS}${document.kind}.js`);
  const unasked = new Set();
  if (!validate(watched(document, '', unasked)))
    return validate.errors.map((error) => `${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`);
  return [...unasked].map((place) => `${place}: unknown`);
}

for (const document of JSON.parse(process.env.DOCUMENTS)) console.log(JSON.stringify(await troubles(document)));
