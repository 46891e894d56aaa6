// Patterns, methods, headers and cookies that no request or answer can have: each mistake is one problem
// with its exact position, path, message and fix.
import { expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { edited, problemsOf } from './config-text.ts'

/** Lines of the valid config that are replaced, and what is said of it then. */
const CASES: [name: string, edits: Record<number, string>, problem: string][] = [
  [
    'look-ahead',
    { 13: `    service: shop\n    match: { path: { regex: '/(?=a).*' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern uses look-around, which the linear-time engine does not have. Match the text itself; invert: true negates a header, query or cookie match.',
  ],
  [
    'look-behind',
    { 13: `    service: shop\n    match: { path: { regex: '/.*(?<!a)' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern uses look-around, which the linear-time engine does not have. Match the text itself; invert: true negates a header, query or cookie match.',
  ],
  [
    'a back-reference',
    { 13: `    service: shop\n    match: { path: { regex: '/(a+)/\\1' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern uses a back-reference, which the linear-time engine does not have. Write out what may be repeated.',
  ],
  [
    'a possessive repeat',
    { 13: `    service: shop\n    match: { path: { regex: '/a++' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern uses an atomic or possessive group, which a linear-time engine does not need. Remove it.',
  ],
  [
    'a bracket that is not closed',
    { 13: `    service: shop\n    match: { path: { regex: '/[a' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern is no regular expression: missing closing ]: "[a". Correct it; the syntax is that of RE2.',
  ],
  [
    'a repeat without bound',
    { 13: `    service: shop\n    match: { path: { regex: '/a{1001}' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern repeats more than 1000 times. Use smaller repeats.',
  ],
  [
    'repeats that multiply',
    { 13: `    service: shop\n    match: { path: { regex: '/(abcdefghij){501}' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern compiles to 6015 instructions, more than 5000. Use a shorter pattern or smaller repeats.',
  ],
  [
    'a long pattern with repeats',
    { 13: `    service: shop\n    match: { path: { regex: '/(${'ab'.repeat(60)}){1000}' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern repeats too much. Use a shorter pattern or smaller repeats.',
  ],
  [
    'a pattern without end',
    { 13: `    service: shop\n    match: { path: { regex: '/${'a'.repeat(1024)}' } }` },
    '14:29: CONFIG_REGEX routes[0].match.path.regex: the pattern has 1025 characters, more than 1024. Use a shorter pattern or smaller repeats.',
  ],
  [
    'two methods in one',
    { 13: '    service: shop\n    match: { methods: ["GET, HEAD"] }' },
    '14:24: CONFIG_METHOD routes[0].match.methods[0]: "GET, HEAD" is no method. Write one method an entry, such as GET.',
  ],
  [
    'a header name with a colon',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { set: { "x-a:": b } }' },
    '9:34: CONFIG_HEADER_NAME services[0].versions[0].requestHeaders.set["x-a:"]: "x-a:" is no header name. Use letters, digits and "-"; no spaces, no colon.',
  ],
  [
    'a header to remove with a blank',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { remove: ["x a"] }' },
    '9:36: CONFIG_HEADER_NAME services[0].versions[0].requestHeaders.remove[0]: "x a" is no header name. Use letters, digits and "-"; no spaces, no colon.',
  ],
  [
    'an override header with a blank',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { override: { header: "x version" } }' },
    '11:36: CONFIG_HEADER_NAME services[0].traffic.override.header: "x version" is no header name. Use letters, digits and "-"; no spaces, no colon.',
  ],
  [
    'a key from a header with a blank',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { by: [{ header: "x user" }] } }' },
    '11:40: CONFIG_HEADER_NAME services[0].traffic.split.by[0].header: "x user" is no header name. Use letters, digits and "-"; no spaces, no colon.',
  ],
  [
    'a match on a header with a blank',
    { 13: '    service: shop\n    match: { headers: [{ name: "x a", present: true }] }' },
    '14:32: CONFIG_HEADER_NAME routes[0].match.headers[0].name: "x a" is no header name. Use letters, digits and "-"; no spaces, no colon.',
  ],
  [
    'a header value with a line break',
    {
      8: '        endpoints: ["http://127.0.0.1:9001"]\n        responseHeaders: { set: { x-a: "b\\r\\nSet-Cookie: c=d" } }',
    },
    '9:40: CONFIG_HEADER_VALUE services[0].versions[0].responseHeaders.set.x-a: the header value contains a line break or another control character. Write it in one line of plain text.',
  ],
  [
    'the framing',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        responseHeaders: { remove: [Content-Length] }' },
    '9:37: CONFIG_HEADER_OWNED services[0].versions[0].responseHeaders.remove[0]: the response header content-length is not for versions to change. It tells where the message ends; only turnout can know that.',
  ],
  [
    'the connection',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { set: { connection: close } }' },
    '9:34: CONFIG_HEADER_OWNED services[0].versions[0].requestHeaders.set.connection: the request header connection is not for versions to change. It concerns one connection (RFC 9110 7.6.1); turnout writes it for each.',
  ],
  [
    'the host',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { set: { Host: shop.test } }' },
    '9:34: CONFIG_HEADER_OWNED services[0].versions[0].requestHeaders.set.Host: the request header host is not for versions to change. Use rewrite.host of the route.',
  ],
  [
    'the origin',
    {
      8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { set: { X-Forwarded-For: 1.2.3.4 } }',
    },
    '9:34: CONFIG_HEADER_OWNED services[0].versions[0].requestHeaders.set.X-Forwarded-For: the request header x-forwarded-for is not for versions to change. turnout writes it from the connection and listeners[].trustedProxies.',
  ],
  [
    'a version header for cookies',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { versionHeader: Set-Cookie }' },
    '11:31: CONFIG_HEADER_OWNED services[0].traffic.versionHeader: "Set-Cookie" cannot name the version. It carries cookies. Choose another, such as x-served-version.',
  ],
  [
    'the version header',
    {
      8: '        endpoints: ["http://127.0.0.1:9001"]\n        responseHeaders: { set: { X-Version: a } }',
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { versionHeader: x-version }',
    },
    '9:35: CONFIG_HEADER_OWNED services[0].versions[0].responseHeaders.set.X-Version: the response header x-version is not for versions to change. traffic.versionHeader writes it.',
  ],
  [
    'a sticky cookie with a blank in its name',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie, secret: 0123456789abcdef, name: "a b" } }',
    },
    '11:72: CONFIG_COOKIE services[0].traffic.sticky.name: "a b" is no cookie name. Use letters, digits, "-" and "_".',
  ],
  [
    'an override cookie with an equals sign',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { override: { cookie: "a=b" } }' },
    '11:36: CONFIG_COOKIE services[0].traffic.override.cookie: "a=b" is no cookie name. Use letters, digits, "-" and "_".',
  ],
  [
    'a cookie path with an attribute',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie, secret: 0123456789abcdef, path: "/; Domain=x" } }',
    },
    '11:72: CONFIG_COOKIE services[0].traffic.sticky.path: "/; Domain=x" is no cookie path. Begin it with "/"; no ";" and no control characters.',
  ],
]

it.each(CASES)('%s', (_, edits, problem) => {
  expect(problemsOf(edited(edits))).toEqual([problem])
  expect(parseConfig(edited(edits), { env: {} }).ok).toBe(false)
})
