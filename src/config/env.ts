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

/** `$${`, a whole reference, or a `${` that begins none. */
const REFERENCE = /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{)[^}])*))?\})?/g

/**
 * Replaces every reference. `${VAR:-default}` takes the default when VAR is unset or empty, as in a shell;
 * `${VAR}` must be set, and may be empty. `$${` stands for a literal `${`.
 */
export function substitute(scalar: string, env: Env): Substituted {
  const missing: string[] = []
  let changed = false
  let isComplete = true
  const text = scalar.replaceAll(REFERENCE, (found: string, name?: string, fallback?: string) => {
    changed = true
    if (found === '$${') return '${'
    if (name === undefined) {
      isComplete = false
      return found
    }
    const set = Object.hasOwn(env, name) ? env[name] : undefined
    const value = fallback !== undefined && set === '' ? fallback : (set ?? fallback)
    if (value === undefined) missing.push(name)
    return value ?? ''
  })
  if (!isComplete) {
    return {
      ok: false,
      message: 'a "${" is no complete reference to the environment',
      fix: 'Name the variable with letters, digits and underscores, close it with "}", or write "$${" for a literal "${".',
    }
  }
  if (missing.length > 0) {
    const names = missing.join(' and ')
    return {
      ok: false,
      message: missing.length === 1 ? `the environment variable ${names} is not set` : `${names} are not set`,
      fix: `Set ${names}, or give a default: \${${missing[0]}:-value}.`,
    }
  }
  return { ok: true, text, changed, whole: WHOLE.test(scalar) }
}

const WHOLE = /^\$\{[^}]*\}$/
