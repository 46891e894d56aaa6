// The answer to OPTIONS and TRACE with Max-Forwards: 0, which a proxy must give itself (RFC 9110 7.6.2).
import type { RequestHead } from '../http1/request-head.ts'
import { plain } from './answers.ts'

/** Fields a TRACE does not repeat, because scripts could read them there (RFC 9110 9.3.8). */
const SECRET = /^(?:authorization|cookie|proxy-authorization|x-.*(?:token|key|secret).*)$/i

/** A whole answer; `lines` are added to its head. */
export function answerAsLastHop(head: RequestHead, lines: string): string {
  if (head.method !== 'TRACE') return plain(200, '', '', lines)
  const { fields, text } = head
  let body = text.slice(0, head.fieldsAt)
  for (let k = 0; k < fields.count; k++) {
    const name = text.slice(fields.nameStart[k]!, fields.nameEnd[k]!)
    if (!SECRET.test(name)) body += text.slice(fields.nameStart[k]!, fields.lineEnd[k]!)
  }
  return plain(200, 'message/http', body + '\r\n', lines)
}
