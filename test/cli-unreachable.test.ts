// Commands whose admin API is not there, is something else, or refuses: a line or two that say what to check.
import { createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { AdminClient, AdminError } from '../src/cli/admin-client.ts'
import { turnout } from './support/command.ts'

/** What `call` says goes wrong at an address. */
async function failure(url: string, env: Record<string, string> = {}, method: 'GET' | 'PUT' = 'GET'): Promise<string> {
  try {
    await new AdminClient({ url, env }).call<{ services: unknown }>({ method, path: ['services'] }, 'services')
  } catch (error) {
    if (error instanceof AdminError) return error.message
    throw error
  }
  return 'nothing'
}

/** Something that does this with each connection; answers its address. */
async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket.on('error', () => {}))
    onConnection(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

/** Something that answers these bytes to whatever comes. */
const answering = (bytes: string) => listen(socket => socket.once('data', () => socket.end(bytes)))

test('nothing listens', async () => {
  const url = 'http://127.0.0.1:1'
  const { code, stdout, stderr } = await turnout(['status', '--admin', url, '--json'])
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: '',
    stderr:
      `turnout: ${url} is not reachable: connection refused.\n` +
      'Is turnout running, and is this its admin.address? Else name it with --admin URL or TURNOUT_ADMIN_URL.\n',
  })
})

test('the flag beats the variable, an empty variable counts as none', async () => {
  const env = { TURNOUT_ADMIN_URL: 'http://127.0.0.1:2' }
  expect((await turnout(['status'], env)).stderr).toContain('http://127.0.0.1:2 is not reachable')
  expect((await turnout(['status', '--admin', 'http://127.0.0.1:1'], env)).stderr).toContain(
    'http://127.0.0.1:1 is not reachable',
  )
  expect(() => new AdminClient({ env: { TURNOUT_ADMIN_URL: '' } })).not.toThrow()
})

test.for(['localhost:9901', '127.0.0.1:9901', 'ftp://127.0.0.1', 'http://', 'nonsense'])('%s is no URL', url => {
  expect(() => new AdminClient({ url, env: {} })).toThrow(
    `--admin is not a URL such as http://127.0.0.1:9901: ${JSON.stringify(url)}.`,
  )
  expect(() => new AdminClient({ env: { TURNOUT_ADMIN_URL: url } })).toThrow('TURNOUT_ADMIN_URL is not a URL')
})

test('a URL has no secret and no query in it', () => {
  const message = (url: string) => {
    try {
      new AdminClient({ url, env: {} })
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  expect(message('http://me:hush@127.0.0.1')).toBe(
    '--admin holds a user name or a password. Put the token into TURNOUT_ADMIN_TOKEN.',
  )
  expect(message('http://127.0.0.1/?a=b')).toContain('--admin has more than an address and a path')
})

test('a token that cannot be one is refused without being told', async () => {
  const { code, stdout, stderr } = await turnout(['status'], { TURNOUT_ADMIN_TOKEN: 'se\ncret' })
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: '',
    stderr: 'turnout: TURNOUT_ADMIN_TOKEN is no token: it has spaces, line ends or other characters in it.\n',
  })
})

test('what answers does not speak HTTP', async () => {
  const address = await answering('220 mail.example ESMTP\r\n')
  expect(await failure(`http://${address}`)).toMatch(/ is not reachable: what answers there does not speak HTTP\.\n/)
})

test('what answers does not speak TLS', async () => {
  const address = await answering('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
  expect(await failure(`https://${address}`)).toMatch(/does not speak TLS; try http:\/\/ instead of https:\/\/\.\n/)
})

test('a port that browsers avoid is one like others', async () => {
  expect(await failure('http://127.0.0.1:10080')).toContain(':10080 is not reachable: connection refused.')
})

test('a host that is none', async () => {
  expect(await failure('http://turnout.invalid')).toMatch(/^http:\/\/turnout\.invalid is not reachable: no such host\./)
})

test('a connection that breaks: of a change nobody knows whether it was made', async () => {
  const address = await listen(socket => socket.once('data', () => socket.resetAndDestroy()))
  expect(await failure(`http://${address}`)).toContain('the connection broke.\nIs turnout running')
  expect(await failure(`http://${address}`, {}, 'PUT')).toBe(
    `http://${address} is not reachable: the connection broke.\nThe change may have been made: look with "turnout status".`,
  )
})

const HTML = 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>'
const json = (status: string, type: string, body: string, more = '') =>
  `HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`

test.for([
  ['a page', HTML, 200],
  ['broken JSON', json('200 OK', 'application/json', '{"services":'), 200],
  ['other JSON', json('200 OK', 'application/json', '{"items":[]}'), 200],
  ['no object', json('200 OK', 'application/json', '[]'), 200],
  ['null', json('200 OK', 'application/json', 'null'), 200],
  ['an error of another kind', json('404 Not Found', 'application/json', '{"message":"no"}'), 404],
  ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n', 302],
  [
    'a failure of a proxy on the way',
    json('502 Bad Gateway', 'application/problem+json', '{"detail":"x"}', 'Proxy-Status: edge\r\n'),
    502,
  ],
] as const)('not turnout: %s', async ([, bytes, status]) => {
  const url = `http://${await answering(bytes)}`
  expect(await failure(url)).toBe(
    `${url} answered ${status}, but not as turnout's admin API does.\n` +
      'Name the admin.address of its config with --admin URL or TURNOUT_ADMIN_URL; a listener for clients is another one.',
  )
})

test('an endless page is not read', async () => {
  const url = `http://${await listen(socket => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>'))
  })}`
  expect(await failure(url)).toContain('answered 200, but not')
})

test('names from elsewhere cannot steer the terminal', async () => {
  const bytes = json('404 Not Found', 'application/problem+json', String.raw`{"code":"x","detail":"\u001b[2Jgone"}`)
  expect(await failure(`http://${await answering(bytes)}`)).toBe('?[2Jgone')
})

test.for([
  [
    'the path is one too long',
    '404 Not Found',
    '{"code":"not_found","detail":"Nothing answers GET /v1/v1/services."}',
    'Nothing answers GET /v1/v1/services.\nIf the address has a path, is it one too many? If not: turnout there is older ' +
      'than this command. Use the one that came with it.',
  ],
  [
    'turnout does not know that there may be replicas',
    '400 Bad Request',
    '{"code":"invalid_request","detail":"?wait is not known.","errors":[{"path":"?wait","message":"is not known."}]}',
    '?wait is not known.\nturnout there is older than this command. Use the one that came with it.',
  ],
] as const)('%s', async ([, status, body, message]) => {
  expect(await failure(`http://${await answering(json(status, 'application/problem+json', body))}`)).toBe(message)
})

test('healthcheck: nothing listens, or nothing answers', async () => {
  const refused = await turnout(['healthcheck', '--admin', 'http://127.0.0.1:1'])
  expect(refused).toEqual({
    code: 1,
    stdout: '',
    stderr: 'turnout: http://127.0.0.1:1 is not reachable: connection refused.\n',
  })
  const url = `http://${await listen(() => {})}`
  const before = performance.now()
  const late = await turnout(['healthcheck'], { TURNOUT_ADMIN_URL: url })
  expect(late).toEqual({ code: 1, stdout: '', stderr: `turnout: ${url} is not reachable: no answer within 2 s.\n` })
  expect(performance.now() - before).toBeGreaterThanOrEqual(2000)
})

test('healthcheck: something else answers', async () => {
  const url = `http://${await answering('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')}`
  const { code, stderr } = await turnout(['healthcheck', '--admin', url])
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `turnout: ${url} answered 404, but not as turnout's admin API does.\n`,
  })
})

test('healthcheck: a service that answers 200 to any path is no turnout that is ready', async () => {
  const bytes = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nshop'
  const url = `http://${await answering(bytes)}`
  const { code, stderr } = await turnout(['healthcheck', '--admin', url])
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `turnout: ${url} answered 200, but not as turnout's admin API does.\n`,
  })
})
