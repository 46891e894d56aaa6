// A request written as a plain object, for tests of routing and selection.
import type { RequestView } from '../src/route/request-view.ts'

export type Written = {
  method?: string
  host?: string
  path?: string
  query?: string
  clientIp?: string
  secure?: boolean
  headers?: Record<string, string>
  cookies?: Record<string, string>
}

export function request(written: Written = {}): RequestView {
  const headers = new Map(Object.entries(written.headers ?? {}))
  const cookies = new Map(Object.entries(written.cookies ?? {}))
  return {
    method: written.method ?? 'GET',
    host: written.host ?? 'shop.example.com',
    path: written.path ?? '/',
    query: written.query ?? '',
    clientIp: written.clientIp ?? '203.0.113.7',
    secure: written.secure ?? false,
    header: name => headers.get(name) ?? null,
    cookie: name => cookies.get(name) ?? null,
  }
}

/** A text as a client puts it on the wire: UTF-8, one char a byte. */
export function utf8(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}
