// Under `advanced`, which none of our documents has: refused, so that nobody takes it for looked at.
export function validate(data, { instancePath = '' } = {}) {
  validate.errors = [{ instancePath, keyword: 'unchecked', params: { instead: 'install the whole kubernetes-models' } }];
  return false;
}
