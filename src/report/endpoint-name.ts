// The name under which answers are reported: the method and the path with a placeholder for all that is not a word
// of the API itself. Names must be few, and must not tell who or what was asked for: paths hold ids, mails and tokens.
import { METHODS } from 'node:http'
import { isOpaque } from '../compare/opaque.ts'

/** More segments than that become `**`. */
const SEGMENTS = 12
const SEGMENT_LENGTH = 40
/** Letters without a break, in one case. The longest words have about 20. */
const RUN_LENGTH = 24
/** Letters without a break from which on a random mix of cases is told from camelCase by its share of capitals. */
const MIX_LENGTH = 16

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS)
const PLACEHOLDER = /^\{(?:id|email)\}$/
/** `v1`, `v2.1`, `v1beta1`. */
const API_VERSION = /^v\d{1,2}(?:\.\d{1,2})?(?:(?:alpha|beta|rc)\d?)?$/i
/** Words, and what joins them. The first may have one digit, as in `oauth2`; behind a break it is a number (`user-7`). */
const WORDS = /^[$._]?(?:[A-Za-z]*\d?[A-Za-z]+|[A-Za-z]+\d)(?:[-._~:+][A-Za-z]+)*$/
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i
const CAPITALS = /[A-Z]/g

/**
 * `GET /shops/{id}/items`. A method that HTTP does not know is `{method}`, a mail address `{email}`, all else that is no
 * word `{id}`. The query is not part of it. The name of a name's own path is the same name; it has fewer than 600 characters.
 */
export function endpointName(method: string, target: string): string {
  return `${KNOWN_METHODS.has(method) ? method : '{method}'} ${template(target)}`
}

function template(target: string): string {
  const path = target.replace(ORIGIN, '').split(/[?#]/, 1)[0]!
  if (path === '*') return path
  // One more than are shown, so that a path of a million slashes costs no more than a short one.
  const segments = path.replace(/^\//, '').split('/', SEGMENTS + 1)
  const names = segments.slice(0, SEGMENTS).map(name)
  return '/' + (segments.length > SEGMENTS ? [...names, '**'] : names).join('/')
}

function name(segment: string): string {
  if (segment.includes('@') || segment.includes('%40')) return '{email}'
  // What follows is a parameter of the segment, such as a session: /cart;jsessionid=1A2B.
  const text = segment.split(';', 1)[0]!
  if (text === '' || PLACEHOLDER.test(text) || API_VERSION.test(text)) return text
  return text.length > SEGMENT_LENGTH || isOpaque(text) || !WORDS.test(text) || !hasOnlyWords(text) ? '{id}' : text
}

/** False when a run of letters is too long for a word, or too mixed. */
function hasOnlyWords(text: string): boolean {
  return text.split(/[^A-Za-z]/).every(run => {
    if (run.length < MIX_LENGTH) return true
    const capitals = run.match(CAPITALS)?.length ?? 0
    if (capitals === 0 || capitals === run.length) return run.length <= RUN_LENGTH
    return capitals * 3 <= run.length
  })
}
