// Real Redis servers of a test's own: one, a Cluster, a Sentinel pair, and a relay in front of one that can turn
// into a black hole. They listen on 127.0.0.1, live in a temporary directory and end with the test.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, onTestFinished } from 'vitest'
import { reservePort } from './ports.ts'
import { poll } from './turnout.ts'

/** Takes what ends a server. */
type AtEnd = (end: () => Promise<void>) => void

/** For servers of a whole file or group, which `beforeAll` starts; to be called outside of it. */
export function untilAllEnd(): AtEnd {
  const ends: (() => Promise<void>)[] = []
  afterAll(async () => {
    for (const end of ends) await end()
  })
  return end => ends.push(end)
}

type Certificates = { ca: string; cert: string; key: string }

type RedisServerOptions = {
  /** Keeps its data over a kill. */
  persistent?: boolean
  /** Of the default user. */
  password?: string
  /** Such as `3mb`; what does not fit is refused. */
  maxmemory?: string
  /** Only TLS is served then. */
  tls?: Certificates
  /** Further arguments. */
  args?: string[]
  atEnd?: AtEnd
}

const HOST = '127.0.0.1'
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** One redis-server. */
export class RedisServer {
  readonly port: number
  readonly url: string
  readonly #options: RedisServerOptions
  readonly #dir = mkdtempSync(join(tmpdir(), 'turnout-redis-'))
  #child: ChildProcess | null = null

  constructor(port: number, options: RedisServerOptions) {
    this.port = port
    this.#options = options
    const { password, tls } = options
    this.url = `redis${tls ? 's' : ''}://${password ? `:${encodeURIComponent(password)}@` : ''}${HOST}:${port}`
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** Starts it, and waits until it serves; also after a kill. */
  async start(): Promise<void> {
    const child = spawn('redis-server', this.#arguments(), { cwd: this.#dir, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(child)
    this.#child = child
    prefer(child)
    child.once('exit', () => running.delete(child))
    let output = ''
    const isUp = new Promise<void>((resolve, reject) => {
      createInterface(child.stdout!).on('line', line => {
        output += `${line}\n`
        if (/Ready to accept connections|Sentinel ID is/.test(line)) resolve()
      })
      child.once('error', () => reject(new Error('redis-server is missing: apt-get install redis-server')))
      child.once('exit', code => reject(new Error(`redis-server ended with ${code}: ${output}`)))
    })
    await isUp
  }

  /** Ends it like a power cut. */
  async kill9(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  /** Ends it like `kill9` where it runs still, and starts it on the same port; `wipe` = without what it had kept. */
  async restart({ wipe = false }: { wipe?: boolean } = {}): Promise<void> {
    await this.kill9()
    if (wipe) rmSync(join(this.#dir, 'appendonlydir'), { recursive: true, force: true })
    await this.start()
  }

  /** Answers nothing any more, while the system goes on accepting connections and data. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** What redis-cli prints for a command. */
  cli(...args: string[]): Promise<string> {
    return this.cliAs(this.#options.password, ...args)
  }

  /** The same with another password of the default user. */
  async cliAs(password: string | undefined, ...args: string[]): Promise<string> {
    const { tls } = this.#options
    const login = password === undefined ? [] : ['--no-auth-warning', '-a', password]
    const secure = tls === undefined ? [] : ['--tls', '--cacert', tls.ca]
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', `${this.port}`, ...login, ...secure, ...args])
    return stdout.trimEnd()
  }

  async stop(): Promise<void> {
    await this.kill9()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  /** Writes a file beside its data, and answers its path. */
  write(name: string, text: string): string {
    const file = join(this.#dir, name)
    writeFileSync(file, text)
    return file
  }

  #arguments(): string[] {
    const { persistent = false, password, maxmemory, tls, args = [] } = this.#options
    if (args[0]?.endsWith('.conf')) return [join(this.#dir, args[0]), ...args.slice(1)]
    const port =
      tls === undefined
        ? ['--port', `${this.port}`]
        : ['--port', '0', '--tls-port', `${this.port}`, '--tls-auth-clients', 'no']
    if (tls !== undefined)
      port.push('--tls-ca-cert-file', tls.ca, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key)
    return [
      ...port,
      ...['--bind', HOST, '--dir', this.#dir, '--save', '', '--enable-debug-command', 'yes'],
      ...(persistent ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']),
      ...(password === undefined ? [] : ['--requirepass', password, '--masterauth', password]),
      ...(maxmemory === undefined ? [] : ['--maxmemory', maxmemory]),
      ...args,
    ]
  }
}

/** Servers come before those who test them: one that gets no turn for a second is away, which no test means. */
function prefer({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, -10)
  } catch {
    // Only root may do so; others have to do without.
  }
}

/** Starts one server, which ends with the test. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const { atEnd = onTestFinished } = options
  const server = new RedisServer(await reservePort(atEnd), options)
  atEnd(() => server.stop())
  await server.start()
  return server
}

/** Three nodes that share the slots evenly, and no replicas. */
export async function startCluster(atEnd: AtEnd = onTestFinished): Promise<{ url: string; nodes: RedisServer[] }> {
  const nodes: RedisServer[] = []
  const buses: number[] = []
  for (let i = 0; i < 3; i++) {
    const bus = await reservePort(atEnd)
    const args = ['--cluster-enabled', 'yes', '--cluster-port', `${bus}`, '--cluster-node-timeout', '1000']
    nodes.push(await startRedis({ args, persistent: true, atEnd }))
    buses.push(bus)
  }
  for (const [i, node] of nodes.entries()) {
    await node.cli('cluster', 'set-config-epoch', `${i + 1}`)
    const [from, to] = [
      [0, 5460],
      [5461, 10922],
      [10923, 16383],
    ][i]!
    await node.cli('cluster', 'addslotsrange', `${from}`, `${to}`)
    if (i > 0) await nodes[0]!.cli('cluster', 'meet', HOST, `${node.port}`, `${buses[i]}`)
  }
  await clusterIsOk(nodes)
  return { url: `redis+cluster://${nodes.map(({ port }) => `${HOST}:${port}`).join(',')}`, nodes }
}

/** Waits until every node says that all slots are served. */
export async function clusterIsOk(nodes: readonly RedisServer[]): Promise<void> {
  for (const node of nodes) {
    await poll(async () => (await node.cli('cluster', 'info')).includes('cluster_state:ok'), 'cluster_state:ok')
  }
}

export type Sentinels = {
  /** Names a sentinel that is not there first. */
  url: string
  primary: RedisServer
  replica: RedisServer
  sentinel: RedisServer
  /** Makes the replica the primary: asked for, or because the primary was killed. Waits until it is. */
  failover(how: 'asked' | 'killed'): Promise<void>
}

/** A primary, its replica, and a sentinel that knows them as `mymaster`. */
export async function startSentinels(atEnd: AtEnd = onTestFinished): Promise<Sentinels> {
  const primary = await startRedis({ atEnd, args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis({ atEnd, args: ['--replicaof', HOST, `${primary.port}`] })
  await poll(async () => (await replica.cli('info', 'replication')).includes('master_link_status:up'), 'a replica')
  const port = await reservePort(atEnd)
  const sentinel = new RedisServer(port, { args: ['sentinel.conf', '--sentinel'] })
  const conf = [
    `port ${port}`,
    `bind ${HOST}`,
    `sentinel monitor mymaster ${HOST} ${primary.port} 1`,
    // A machine that stands still for a moment is no reason for a failover; `failover` asks for less.
    'sentinel down-after-milliseconds mymaster 20000',
    'sentinel failover-timeout mymaster 3000',
  ]
  sentinel.write('sentinel.conf', `${conf.join('\n')}\n`)
  atEnd(() => sentinel.stop())
  await sentinel.start()
  const state = () => sentinel.cli('sentinel', 'master', 'mymaster')
  await poll(async () => /num-slaves\n1\n/.test(await state()), 'the sentinel to know the replica')
  return {
    url: `redis+sentinel://${HOST}:${await reservePort(atEnd)},${HOST}:${port}/mymaster`,
    primary,
    replica,
    sentinel,
    async failover(how) {
      const ask = () => sentinel.cli('sentinel', 'failover', 'mymaster')
      if (how === 'killed') {
        await sentinel.cli('sentinel', 'set', 'mymaster', 'down-after-milliseconds', '500')
        await primary.kill9()
      } else await poll(async () => /^(OK|INPROG)/.test(await ask()), 'the sentinel to find the replica good')
      // Connections are cut when a role changes.
      const isPrimary = async () => (await replica.cli('role').catch(() => '')).startsWith('master')
      await poll(isPrimary, 'the replica to become the primary', 20_000)
      await poll(async () => (await state()).includes(`\n${replica.port}\n`), 'the sentinel to say so')
    },
  }
}

export type BlackHole = {
  /** Of the relay. */
  url: string
  /** Connections accepted so far. */
  connections: number
  /** Passes no byte on any more, and closes nothing. */
  swallow(): void
  /** Passes bytes again, the held ones first. */
  pass(): void
  /** Resets every connection; new ones are accepted. */
  cut(): void
}

/** A relay in front of the Redis at the URL. */
export async function blackHole(url: string, atEnd: AtEnd = onTestFinished): Promise<BlackHole> {
  const port = Number(/:([0-9]+)$/.exec(url)![1])
  const sockets = new Set<Socket>()
  let isSwallowing = false
  const follow = (from: Socket, to: Socket) => {
    sockets.add(from)
    from.setNoDelay(true)
    if (isSwallowing) from.pause()
    from.on('data', data => to.write(data))
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
    if (isSwallowing) from.pause()
  }
  const server = createServer(client => {
    relay.connections++
    const upstream = connect(port, HOST)
    follow(client, upstream)
    follow(upstream, client)
  })
  const relay: BlackHole = {
    url: '',
    connections: 0,
    swallow() {
      isSwallowing = true
      for (const socket of sockets) socket.pause()
    },
    pass() {
      isSwallowing = false
      for (const socket of sockets) socket.resume()
    },
    cut() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
  }
  server.listen(0, HOST)
  await once(server, 'listening')
  const own = (server.address() as { port: number }).port
  relay.url = url.replace(/:[0-9]+$/, `:${own}`)
  atEnd(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return relay
}

/** A CA and a certificate of it for 127.0.0.1, as files in the directory. */
export function createCertificates(dir: string): Certificates {
  const at = (name: string) => join(dir, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const [ca, caKey, cert, key, request, extensions] = ['ca.pem', 'ca.key', 'cert.pem', 'key.pem', 'csr', 'ext'].map(at)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', caKey!, '-out', ca!, '-subj', '/CN=test CA', '-days', '1')
  openssl('req', ...newKey, '-keyout', key!, '-out', request!, '-subj', '/CN=redis')
  writeFileSync(extensions!, `subjectAltName=IP:${HOST},DNS:redis.test\n`)
  const signed = ['-CA', ca!, '-CAkey', caKey!, '-CAcreateserial', '-extfile', extensions!, '-days', '1']
  openssl('x509', '-req', '-in', request!, '-out', cert!, ...signed)
  return { ca: ca!, cert: cert!, key: key! }
}
