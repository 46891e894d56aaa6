// Where a document holds secrets, and how they are kept out of what is shown: masked when it is read,
// put back when it is written again, and listed for who has to look for them.
import type { Json } from './document.ts'
import { type Env, substitute } from './env.ts'
import { formatPath, type Path, type Problem } from './problems.ts'

/** What stands for a secret where a document is shown. */
export const MASK = '***'

/** Every key that holds a secret, `[]` for any position of a list. */
const PLACES: readonly (readonly string[])[] = [
  ['admin', 'tokens', '[]', 'secret'],
  ['services', '[]', 'traffic', 'sticky', 'secret'],
  ['redis', 'password'],
  ['redis', 'sentinel', 'password'],
  // A secret as a whole where it has a password, since what else it says is of little use without.
  ['redis', 'url'],
]

/** A reference to the environment and nothing else: it tells a name, and no secret. */
const BARE_REFERENCE = /^\$\{[A-Za-z_][A-Za-z0-9_]*(:-)?\}$/

/** The URL of a Redis without a password, or with one from the environment. */
const HARMLESS_URL = /^rediss?(\+[a-z]+)?:\/\/([^:@/${}]*:(\$\{[A-Za-z_][A-Za-z0-9_]*(:-)?\})?@)?[^@]*$/i

/**
 * Answers what stands in place of a secret. `identity` is the same for the same token or service, wherever it
 * stands in its list; null when that has no name. What is in no list has its path for one.
 */
type Visit = (secret: Json, path: Path, identity: string | null) => Json

/** True when the value at the path is a secret. */
export function isSecret(path: Path): boolean {
  return PLACES.some(
    place =>
      place.length === path.length &&
      place.every((step, i) => (step === '[]' ? typeof path[i] === 'number' : step === path[i])),
  )
}

/**
 * The document with `***` for every secret; a value that is only a `${VAR}` stays, since it tells no secret.
 * Shares with the document what is the same, as all functions here do.
 */
export function maskSecrets(document: Json): Json {
  return mapSecrets(document, (secret, path) => (isHarmless(secret, path) ? secret : MASK))
}

/**
 * The document with, for every `***`, the secret that the current document has for the token or service of the
 * same name. One that has none there stays, and is reported.
 */
export function unmask(document: Json, current: Json): { document: Json; problems: Problem[] } {
  const known = new Map<string, Json>()
  mapSecrets(current, (secret, _, identity) => {
    if (identity !== null && secret !== null && !known.has(identity)) known.set(identity, secret)
    return secret
  })
  const problems: Problem[] = []
  const unmasked = mapSecrets(document, (secret, path, identity) => {
    if (secret !== MASK) return secret
    const found = identity === null ? undefined : known.get(identity)
    if (found === undefined) problems.push(unknownSecret(path))
    return found ?? secret
  })
  return { document: unmasked, problems }
}

function unknownSecret(path: Path): Problem {
  const owner =
    path[0] === 'admin' ? 'the token of this name' : path[0] === 'redis' ? 'redis' : 'the service of this name'
  return {
    code: 'CONFIG_MISSING',
    severity: 'error',
    path: formatPath(path),
    message: `${MASK} stands for the secret in force, and ${owner} has none`,
    fix: 'Write the secret, or a reference to the environment.',
    line: 1,
    column: 1,
  }
}

/**
 * Every text of the document that is to be kept secret, for who looks for them in an output: as written, with
 * the environment filled in, and with the defaults that stand in for it.
 */
export function secretsOf(document: Json, env: Env): string[] {
  const texts = new Set<string>()
  mapSecrets(document, (secret, path) => {
    if (typeof secret !== 'string') return secret
    if (!isHarmless(secret, path)) texts.add(secret)
    for (const values of [env, {}]) {
      const resolved = substitute(secret, values)
      if (!resolved.ok) continue
      if (isUrl(path)) for (const text of passwordsOf(resolved.text)) texts.add(text)
      else texts.add(resolved.text)
    }
    return secret
  })
  texts.delete('')
  texts.delete(MASK)
  return [...texts]
}

function isHarmless(value: Json, path: Path): boolean {
  if (value === null) return true
  if (typeof value !== 'string') return false
  return value === '' || BARE_REFERENCE.test(value) || (isUrl(path) && HARMLESS_URL.test(value))
}

function isUrl(path: Path): boolean {
  return path.at(-1) === 'url'
}

/** The password of a URL, as it is written and as it is meant. */
function passwordsOf(url: string): string[] {
  const password = /^[^/]*:\/\/[^:]*:(.*)@/s.exec(url)?.[1]
  if (password === undefined) return []
  try {
    return [password, decodeURIComponent(password)]
  } catch {
    return [password]
  }
}

function mapSecrets(document: Json, visit: Visit): Json {
  return PLACES.reduce((mapped, place) => {
    return mapAt(mapped, place, [], place.includes('[]') ? null : place.join('.'), visit)
  }, document)
}

/** Documents that are not checked yet pass here too, so nothing is taken for granted, and only the way is copied. */
function mapAt(value: Json, place: readonly string[], path: Path, identity: string | null, visit: Visit): Json {
  const step = place[path.length]
  if (step === undefined) return visit(value, path, identity)
  if (step === '[]') {
    if (!Array.isArray(value)) return value
    return value.map((item, i) => {
      const name = isMapping(item) && Object.hasOwn(item, 'name') ? item.name : undefined
      return mapAt(item, place, [...path, i], typeof name === 'string' ? `${place[0]}:${name}` : null, visit)
    })
  }
  if (!isMapping(value) || !Object.hasOwn(value, step)) return value
  return { ...value, [step]: mapAt(value[step]!, place, [...path, step], identity, visit) }
}

function isMapping(value: Json): value is { [key: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
