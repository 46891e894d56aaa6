// Answers that turnout gives itself: failures as problem+json (RFC 9457) with Proxy-Status (RFC 9209).
import { STATUS_CODES } from 'node:http'
import type { UpstreamError } from '../observe/cells.ts'

/** Status of the answer to a failed upstream, as RFC 9209 2.3 recommends it. */
export function statusOfError(error: UpstreamError): number {
  switch (error) {
    case 'connection_timeout':
    case 'http_response_timeout':
      return 504
    case 'connection_limit_reached':
    case 'destination_unavailable':
      return 503
    default:
      return 502
  }
}

/** What an upstream error means, for people. */
export const ERROR_DETAIL: Record<UpstreamError, string> = {
  dns_error: 'The name of the endpoint could not be resolved.',
  destination_ip_unroutable: 'The address of the endpoint cannot be reached.',
  connection_refused: 'The endpoint refused the connection.',
  connection_terminated: 'The endpoint closed the connection before it answered.',
  connection_timeout: 'The endpoint did not accept a connection in time.',
  connection_limit_reached: 'All connections to the endpoint are in use and the line is full.',
  destination_unavailable: 'The version has no usable endpoint.',
  http_response_incomplete: 'The endpoint closed the connection in the middle of its answer.',
  http_response_header_section_size: "The head of the endpoint's answer is too large.",
  http_response_transfer_coding: "The endpoint's answer is framed in a way that cannot be trusted.",
  http_response_timeout: 'The endpoint did not begin its answer in time.',
  http_upgrade_failed: 'The endpoint switched protocols without being asked to.',
  http_protocol_error: "The endpoint's answer is not valid HTTP/1.1.",
}

/**
 * A whole answer of ours. `error` is the Proxy-Status error type, '' for none; `lines` are further header
 * lines with their CRLF; `body` is left out for HEAD, its length is not.
 */
export function problem(status: number, error: string, detail: string, lines: string, isHead: boolean): string {
  const title = STATUS_CODES[status] ?? 'Error'
  const body =
    JSON.stringify({ type: 'about:blank', title, status, detail, code: error === '' ? undefined : error }) + '\n'
  const proxyStatus = error === '' ? '' : `Proxy-Status: turnout; error=${error}\r\n`
  const head =
    `HTTP/1.1 ${status} ${title}\r\n` +
    'Content-Type: application/problem+json\r\n' +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    proxyStatus +
    lines +
    '\r\n'
  return isHead ? head : head + body
}

/** Status line and length for an answer without a body or with this latin1 one. */
export function plain(status: number, contentType: string, body: string, lines: string): string {
  const type = contentType === '' ? '' : `Content-Type: ${contentType}\r\n`
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${type}Content-Length: ${body.length}\r\n${lines}\r\n${body}`
}
