// The admin API as its callers see it: any method, header and body, and everything that was ever answered.
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http'

export type Reply = {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  /** The body parsed, where it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever JSON they expect.
  json: any
}

export type Call = {
  token?: string
  headers?: OutgoingHttpHeaders
  /** An object is sent as JSON; a merge patch with PATCH. */
  body?: unknown
  /** Address to call from; default 127.0.0.1. */
  from?: string
}

/** Calls an admin API, each time on a connection of its own. */
export class AdminCaller {
  readonly replies: Reply[] = []
  readonly #url: string
  readonly #token: string | undefined

  /** `token` is sent where a call has none of its own. */
  constructor(url: string, token?: string) {
    this.#url = url
    this.#token = token
  }

  get(path: string, call?: Call): Promise<Reply> {
    return this.call('GET', path, call)
  }

  call(method: string, path: string, { token = this.#token, headers = {}, body, from }: Call = {}): Promise<Reply> {
    const isJson = body !== undefined && !Buffer.isBuffer(body) && typeof body !== 'string'
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const payload = isJson ? JSON.stringify(body) : (body as string | Buffer | undefined)
    const { host, port } = new URL(this.#url)
    return new Promise((resolve, reject) => {
      const sent = httpRequest({
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        localAddress: from,
        headers: {
          host,
          ...(isJson ? { 'content-type': type } : {}),
          ...(payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) }),
          ...(token === undefined || token === '' ? {} : { authorization: `Bearer ${token}` }),
          ...headers,
        },
      })
      sent.on('error', reject)
      sent.on('response', response => {
        const pieces: Buffer[] = []
        response.on('data', piece => pieces.push(piece))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(pieces).toString()
          const json =
            /json(;|$)/.test(response.headers['content-type'] ?? '') && text !== '' ? JSON.parse(text) : undefined
          const reply = { status: response.statusCode!, headers: response.headers, text, json }
          this.replies.push(reply)
          resolve(reply)
        })
      })
      sent.end(payload)
    })
  }
}

/** Status and code of a problem. */
export function problem({ status, headers, json }: Reply): [number, string] {
  const type = headers['content-type']
  if (type !== 'application/problem+json; charset=utf-8') throw new Error(`${status} is no problem but ${type}`)
  if (json.status !== status) throw new Error(`status ${status}, but the problem says ${json.status}`)
  return [status, json.code]
}
