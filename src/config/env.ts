// `${VAR}` and `${VAR:-default}` in a scalar of the config, replaced after the file was parsed, so that
// no value from the environment can change the file's structure.

/** The environment, as in `process.env`. */
export type Env = Readonly<Record<string, string | undefined>>

/** A scalar after substitution: what it became, or what is wrong with it. */
export type Substituted =
  | {
      ok: true
      text: string
      /** True when the environment, or a default, is part of the text. */
      changed: boolean
      /** True when the scalar was one `${…}` and nothing else. */
      whole: boolean
    }
  | { ok: false; message: string; fix: string }

const REFERENCE = /^\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/

/**
 * Replaces every reference. `${VAR:-default}` takes the default when VAR is unset or empty, as in a shell;
 * `${VAR}` must be set, and may be empty. `$${` stands for a literal `${`.
 */
export function substitute(scalar: string, env: Env): Substituted {
  let text = ''
  let changed = false
  let whole = false
  let from = 0
  for (;;) {
    const at = scalar.indexOf('${', from)
    if (at === -1) return { ok: true, text: text + scalar.slice(from), changed, whole }
    if (scalar[at - 1] === '$' && at > from) {
      text += scalar.slice(from, at - 1) + '${'
      changed = true
      from = at + 2
      continue
    }
    const reference = REFERENCE.exec(scalar.slice(at))
    if (reference === null || reference[2]?.includes('${') === true) {
      return {
        ok: false,
        message: 'a "${" is no complete reference to the environment',
        fix: 'Name the variable with letters, digits and underscores, close it with "}", or write "$${" for a literal "${".',
      }
    }
    const name = reference[1]!
    const fallback = reference[2]
    const set = Object.hasOwn(env, name) ? env[name] : undefined
    const value = fallback !== undefined && (set === undefined || set === '') ? fallback : set
    if (value === undefined) {
      return {
        ok: false,
        message: `the environment variable ${name} is not set`,
        fix: `Set ${name}, or give it a default: \${${name}:-value}.`,
      }
    }
    text += scalar.slice(from, at) + value
    changed = true
    from = at + reference[0].length
    whole = at === 0 && from === scalar.length
  }
}
