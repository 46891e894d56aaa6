// Calls a running turnout through its admin API, for the commands that operate one. Whatever goes wrong becomes
// an AdminError: a line or two for people that say what to check, and the answer as it came for programs.
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { text as textOf } from 'node:stream/consumers'
import type { Env } from '../config/env.ts'

/** Where turnout answers by default (`admin.address`). */
export const DEFAULT_URL = 'http://127.0.0.1:9901'
/** How long, in ms, an answer may take. */
const READ_TIMEOUT = 10_000
/** A write is answered when every worker serves it, and a worker may take its time. */
const WRITE_TIMEOUT = 30_000

/** Media types of answers that are read. */
const READABLE = ['application/json', 'application/problem+json', 'application/jsonl', 'text/plain']

const BROKEN = 'the connection broke'

const OLDER = 'turnout there is older than this command. Use the one that came with it.'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export type Call = {
  method: Method
  /** What follows `/v1`. */
  path: readonly string[]
  query?: Record<string, string | undefined>
  /** Sent as JSON. */
  body?: object
}

/** An answer of the API. */
export type Answer<T> = {
  /** The body as it came. */
  text: string
  /** The same, parsed, and safe to print: a name or an error from elsewhere cannot steer the terminal. */
  value: T
  /** The time there, in ms since the epoch, half a second more or less: deadlines are told by that clock. */
  now: number
}

/** A call that did not do what it should. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  /** The problem document of the API as it came (RFC 9457), null where there is none. */
  readonly problem: string | null

  constructor(message: string, problem: string | null = null) {
    super(message)
    this.problem = problem
  }
}

export type AdminClientOptions = {
  /** The flag; beats TURNOUT_ADMIN_URL. */
  url?: string
  env: Env
}

type Problem = { code: string; detail: string; errors?: { path: string; message: string }[] }

export class AdminClient {
  readonly #base: URL
  readonly #token: string

  /** Throws an AdminError when the URL or the token cannot be one. */
  constructor({ url, env }: AdminClientOptions) {
    const [source, text] =
      url === undefined ? ['TURNOUT_ADMIN_URL', env.TURNOUT_ADMIN_URL || DEFAULT_URL] : ['--admin', url]
    this.#base = readBase(source!, text!)
    this.#token = env.TURNOUT_ADMIN_TOKEN ?? ''
    // What is refused here would otherwise be quoted in an error.
    if (!/^[\x21-\x7e]*$/.test(this.#token)) {
      throw new AdminError('TURNOUT_ADMIN_TOKEN is no token: it has spaces, line ends or other characters in it.')
    }
  }

  /**
   * Calls the API. Throws an AdminError when the call is refused or fails, or when the answer is not one: `shape` is
   * a key that every right answer has.
   */
  async call<T>(call: Call, shape: keyof T, signal?: AbortSignal): Promise<Answer<T>> {
    const answer = await this.#ask(call, 'application/json', signal)
    const value = jsonOf(answer)
    if (!isObject(value) || !(shape in value)) throw this.#foreign(answer)
    // The field tells whole seconds; half of one has passed on average.
    const date = Date.parse(answer.headers.date ?? '') + 500
    return { text: answer.text, value: value as T, now: date || Date.now() }
  }

  /** Reads what the API exports as JSON lines, as it came. Throws an AdminError as `call` does. */
  async lines(call: Call): Promise<string> {
    const answer = await this.#ask(call, 'application/jsonl')
    if (answer.type !== 'application/jsonl') throw this.#foreign(answer)
    return answer.text
  }

  /** Makes a call; throws an AdminError when it is refused or fails. */
  async #ask({ method, path, query = {}, body }: Call, accept: string, signal?: AbortSignal): Promise<Received> {
    const headers: Record<string, string> = { accept }
    if (this.#token !== '') headers.authorization = `Bearer ${this.#token}`
    if (body !== undefined) headers['content-type'] = 'application/json'
    const timeout = method === 'GET' ? READ_TIMEOUT : WRITE_TIMEOUT
    const url = this.#url(['v1', ...path])
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
    const answer = await this.#send({ method, url, headers, body: JSON.stringify(body) }, timeout, signal)
    // 202: it is done, but not everywhere yet.
    if (answer.status !== 200 && answer.status !== 202) throw this.#refused(answer, jsonOf(answer))
    return answer
  }

  /** Asks `/readyz`, without a token; answers null when ready, else the text that says why not. */
  async notReady(timeout: number): Promise<string | null> {
    const url = this.#url(['readyz'])
    const answer = await this.#send({ method: 'GET', url, headers: {} }, timeout)
    // An upstream behind a listener for clients may answer 200 to any path.
    if (answer.status === 200 && answer.text.trim() === 'ok') return null
    if (answer.status !== 503) throw this.#foreign(answer)
    return answer.text
  }

  #url(path: readonly string[]): URL {
    const url = new URL(this.#base)
    url.pathname += path.map(encodeURIComponent).join('/')
    return url
  }

  async #send(sent: Sent, timeout: number, signal?: AbortSignal): Promise<Received> {
    const late = AbortSignal.timeout(timeout)
    try {
      return await exchange(sent, signal === undefined ? late : AbortSignal.any([late, signal]))
    } catch (error) {
      if (signal?.aborted) throw error
      const reason = late.aborted ? `no answer within ${timeout / 1000} s` : reasonOf(error as NodeJS.ErrnoException)
      throw this.#unreachable(reason, sent.method !== 'GET' && (late.aborted || reason === BROKEN))
    }
  }

  #unreachable(reason: string, mayHaveArrived: boolean): AdminError {
    const advice = mayHaveArrived
      ? 'The change may have been made: look with "turnout status".'
      : 'Is turnout running, and is this its admin.address? Else name it with --admin URL or TURNOUT_ADMIN_URL.'
    return new AdminError(`${this.#where} is not reachable: ${reason}.\n${advice}`)
  }

  #refused(answer: Received, value: unknown): AdminError {
    // A failure of a proxy on the way, or of a listener for clients, has the same shape but this header.
    const isOurs = isObject(value) && typeof value.detail === 'string' && !('proxy-status' in answer.headers)
    if (!isOurs) return this.#foreign(answer)
    const { code, detail, errors = [] } = value as Problem
    // The detail of a problem with one error is that error.
    const more = errors.filter(({ message }) => !detail.includes(message))
    const lines = [detail, ...more.map(({ path, message }) => `  ${path}: ${message}`)]
    // Replicas are waited for since there are any.
    const advice = errors.some(({ path }) => path === '?wait') ? OLDER : this.#advice(code)
    if (advice !== null) lines.push(advice)
    return new AdminError(lines.join('\n'), answer.text)
  }

  /** What to do about a refusal, where the problem itself does not say. */
  #advice(code: string): string | null {
    switch (code) {
      case 'unauthenticated':
        return this.#token === ''
          ? 'Put one into the environment variable TURNOUT_ADMIN_TOKEN.'
          : 'It came from the environment variable TURNOUT_ADMIN_TOKEN; admin.tokens of the config lists the right ones.'
      case 'forbidden_role':
        return "Put an operator's into the environment variable TURNOUT_ADMIN_TOKEN."
      case 'no_healthy_endpoint':
        return '--force does it all the same.'
      case 'not_found':
        return `If the address has a path, is it one too many? If not: ${OLDER}`
      default:
        return null
    }
  }

  #foreign({ status }: Received): AdminError {
    return new AdminError(
      `${this.#where} answered ${status}, but not as turnout's admin API does.\n` +
        'Name the admin.address of its config with --admin URL or TURNOUT_ADMIN_URL; a listener for clients is another one.',
    )
  }

  get #where(): string {
    return this.#base.href.replace(/\/$/, '')
  }
}

function readBase(source: string, text: string): URL {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new AdminError(`${source} is not a URL such as ${DEFAULT_URL}: ${JSON.stringify(text)}.`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new AdminError(`${source} holds a user name or a password. Put the token into TURNOUT_ADMIN_TOKEN.`)
  }
  if (url.search !== '' || url.hash !== '') {
    throw new AdminError(`${source} has more than an address and a path: ${JSON.stringify(text)}.`)
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

type Sent = { method: Method; url: URL; headers: Record<string, string>; body?: string }
/** `type`: the media type; `text`: empty where that is none of those that the API answers with. */
type Received = { status: number; headers: IncomingMessage['headers']; type: string; text: string }

/**
 * One request on a connection of its own. Not with fetch, which refuses ports that browsers avoid, such as 10080.
 * A redirect is no answer of turnout, and following it would carry the token along.
 */
async function exchange({ method, url, headers, body }: Sent, signal: AbortSignal): Promise<Received> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = url.protocol === 'https:' ? requestHttps : requestHttp
    request(url, { method, headers, signal, agent: false }, resolve).on('error', reject).end(body)
  })
  const [type] = (response.headers['content-type'] ?? '').split(/[; ]/, 1) as [string]
  let text = ''
  if (READABLE.includes(type)) text = await textOf(response)
  // What else answers there may be endless.
  else response.destroy()
  return { status: response.statusCode!, headers: response.headers, type, text }
}

/** Why a call got no answer. */
function reasonOf({ code = '', message }: NodeJS.ErrnoException): string {
  if (code.startsWith('HPE_')) return 'what answers there does not speak HTTP'
  if (code === 'EPROTO') return 'what answers there does not speak TLS; try http:// instead of https://'
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no such host'
    case 'ECONNRESET':
      return BROKEN
    default:
      return printable(message)
  }
}

/** What an answer says as JSON, safe to print; undefined where it says nothing. */
function jsonOf({ type, text }: Received): unknown {
  if (type !== 'application/json' && type !== 'application/problem+json') return undefined
  try {
    return JSON.parse(text, (_key, value) => (typeof value === 'string' ? printable(value) : value))
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text without control characters, which would steer the terminal it is printed on. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?')
}
