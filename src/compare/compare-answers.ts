// Compares two answers to the same request: status, media type, the listed headers and the body. Bodies of JSON are
// walked (json-compare.ts), all others compared as bytes; what cannot be read whole is said to be so, never guessed.
import { isUtf8 } from 'node:buffer'
import type { CompareConfig } from '../config/schema-mirror.ts'
import { parseSize } from '../config/units.ts'
import type { Answer } from './answer.ts'
import { codingsOf, type Decoded, decode } from './decode.ts'
import type { Comparison, Difference } from './difference.ts'
import { isNumber, readNumber } from './exact-number.ts'
import { JsonComparer } from './json-compare.ts'
import { parseJson } from './json-text.ts'
import { type Normalizer, parseNormalizer } from './normalize.ts'
import { PathRules } from './path-pattern.ts'

/** What holds at one place outside of JSON. */
type Place = { keys: readonly string[]; path: string; isIgnored: boolean; normalizer: Normalizer | undefined }
type Kind = Difference['kind']

const JSON_TYPE = /[/+]json$/
/** Long ones are no numbers of any header. */
const NUMBER = /^-?\d{1,30}(?:\.\d{1,30})?$/
/** Stands for bytes that are no text: no JSON, and equal to no text in UTF-8, which has no lone surrogates. */
const NO_TEXT = '\ud800'
const EVENT_STREAM = 'text/event-stream'
/** Of an essence, so that what is shown is bounded: registered names have at most 127 characters each (RFC 6838 4.2). */
const MEDIA_TYPE_LENGTH = 255

export class AnswerComparer {
  readonly #status: Place
  readonly #contentType: Place
  readonly #headers: ReadonlyMap<string, Place>
  readonly #body: Place
  readonly #json: JsonComparer
  readonly #bodyBytes: number

  /** The settings have passed the checks of the config. */
  constructor(settings: CompareConfig) {
    const ignored = new PathRules(settings.ignore.map(pattern => [pattern, true] as const))
    const normalizers = new PathRules(
      Object.entries(settings.normalize).map(([pattern, text]) => [pattern, parseNormalizer(text)] as const),
    )
    const place = (...keys: string[]): Place => ({
      keys,
      path: keys.join('.'),
      isIgnored: ignored.covers(keys),
      normalizer: normalizers.at(keys)?.value,
    })
    this.#status = place('status')
    this.#contentType = place('contentType')
    this.#headers = new Map(settings.headers.map(name => [name.toLowerCase(), place('header', name.toLowerCase())]))
    this.#body = place('body')
    this.#json = new JsonComparer(settings)
    this.#bodyBytes = parseSize(settings.bodyBytes)
  }

  /** `method`: of the request. Never rejects. */
  async compare(method: string, primary: Answer, shadow: Answer): Promise<Comparison> {
    const differences: Difference[] = []
    try {
      this.#compareHeads(differences, primary, shadow)
      const isWhole = await this.#compareBodies(differences, method, primary, shadow)
      return { differences, isWhole }
    } catch {
      // A fault of ours must not be told as one of the shadow.
      return { differences: [...differences, difference(this.#body, 'truncated')], isWhole: false }
    }
  }

  #compareHeads(found: Difference[], primary: Answer, shadow: Answer): void {
    compareValues(found, this.#status, 'status', primary.status, shadow.status)
    compareValues(found, this.#contentType, 'contentType', mediaType(primary), mediaType(shadow))
    for (const [name, place] of this.#headers) {
      const [ours, theirs] = [header(primary, name), header(shadow, name)]
      const kind = theirs === undefined ? 'missing' : ours === undefined ? 'extra' : 'header'
      compareValues(found, place, kind, ours, theirs)
    }
  }

  /** False when the bodies could not be compared whole. */
  async #compareBodies(found: Difference[], method: string, primary: Answer, shadow: Answer): Promise<boolean> {
    // Where one has no body by its status, the status differs, and there is nothing to compare the other with.
    if (this.#body.isIgnored || hasNoBody(method, primary) || hasNoBody(method, shadow)) return true
    const truncated = () => {
      found.push(difference(this.#body, 'truncated', primary.body, shadow.body))
      return false
    }
    const types = [mediaType(primary), mediaType(shadow)]
    // Events go on until someone leaves, so where they stop says nothing.
    if (primary.isCut || shadow.isCut || types.includes(EVENT_STREAM)) return truncated()

    const [ours, theirs] = [
      codingsOf(header(primary, 'content-encoding')),
      codingsOf(header(shadow, 'content-encoding')),
    ]
    const sameCodings = ours.join() === theirs.join()
    if (sameCodings && primary.body.equals(shadow.body)) return true
    const decoded = await Promise.all([
      decode(primary.body, ours, this.#bodyBytes),
      decode(shadow.body, theirs, this.#bodyBytes),
    ])
    const [left, right] = decoded
    if (left.outcome === 'ok' && right.outcome === 'ok') {
      if (left.body.equals(right.body)) return true
      if (types.every(type => type !== undefined && JSON_TYPE.test(type))) {
        const isWhole = this.#compareJson(found, left.body, right.body)
        return isWhole || truncated()
      }
      this.#compareBytes(found, left.body, right.body)
    } else if (isAny(decoded, 'broken')) {
      found.push(difference(this.#body, 'error', primary.body, shadow.body))
    } else if (isAny(decoded, 'tooLarge')) {
      return truncated()
    } else if (sameCodings) {
      this.#compareBytes(found, primary.body, shadow.body)
    } else {
      found.push(difference(this.#body, 'error', primary.body, shadow.body))
    }
    return true
  }

  /** False when a budget was used up. */
  #compareJson(found: Difference[], primary: Buffer, shadow: Buffer): boolean {
    const [left, right] = [utf8(primary) ?? NO_TEXT, utf8(shadow) ?? NO_TEXT]
    if (left === NO_TEXT && right === NO_TEXT) {
      this.#compareBytes(found, primary, shadow)
      return true
    }
    const { differences, stopped, unparsed } = this.#json.compare(left, right)
    if (unparsed === 'both') {
      this.#compareBytes(found, primary, shadow)
    } else if (unparsed !== null) {
      // Parsed anew, since this is rare: only what the other side is and how large it is are of interest.
      const ours = unparsed === 'primary' ? primary : parseJson(left)?.value
      const theirs = unparsed === 'shadow' ? shadow : parseJson(right)?.value
      found.push(difference(this.#body, 'type', ours, theirs))
    } else {
      for (const each of differences) found.push(each)
    }
    return stopped === null
  }

  #compareBytes(found: Difference[], primary: Buffer, shadow: Buffer): void {
    const [left, right] = [utf8(primary), utf8(shadow)]
    if (left !== null && right !== null) {
      compareValues(found, this.#body, primary.length === shadow.length ? 'bytes' : 'length', left, right)
    } else {
      found.push(difference(this.#body, primary.length === shadow.length ? 'bytes' : 'length', primary, shadow))
    }
  }
}

function compareValues(found: Difference[], place: Place, kind: Kind, primary: unknown, shadow: unknown): void {
  if (primary === shadow || place.isIgnored) return
  if (primary !== undefined && shadow !== undefined && isSame(place.normalizer, primary, shadow)) return
  found.push(difference(place, kind, primary, shadow))
}

/** Headers are texts, so a number in one is also taken as the number that it tells. */
function isSame(normalizer: Normalizer | undefined, primary: unknown, shadow: unknown): boolean {
  if (normalizer === undefined) return false
  if (normalizer.isSame(primary, shadow)) return true
  const [left, right] = [numberIn(primary), numberIn(shadow)]
  return isNumber(left) && isNumber(right) && normalizer.isSame(left, right)
}

function numberIn(value: unknown): unknown {
  return typeof value === 'string' && NUMBER.test(value) ? readNumber(value) : null
}

function difference({ path, keys }: Place, kind: Kind, primary?: unknown, shadow?: unknown): Difference {
  return { path, keys, kind, primary, shadow }
}

/** RFC 9110 6.4.1. */
function hasNoBody(method: string, { status }: Answer): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

/** Type and subtype in lower case, without parameters; undefined where there is none. */
function mediaType(answer: Answer): string | undefined {
  const [type] = (header(answer, 'content-type') ?? '').split(';', 1)
  return type!.trim().toLowerCase().slice(0, MEDIA_TYPE_LENGTH) || undefined
}

function header({ headers }: Answer, name: string): string | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined
}

/** Null for bytes that are no text in UTF-8: replaced characters would make different ones equal. */
function utf8(body: Buffer): string | null {
  return isUtf8(body) ? body.toString('utf8') : null
}

function isAny(decoded: readonly Decoded[], outcome: Decoded['outcome']): boolean {
  return decoded.some(each => each.outcome === outcome)
}
