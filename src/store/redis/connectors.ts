// How the sockets to Redis and to sentinels are opened. ioredis hears the first error of a socket only, and TLS may
// tell of a second one (an alert that comes after a certificate was refused), which would end the process.
import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { AbstractConnector, type RedisOptions, SentinelConnector } from 'ioredis'

type Options = Pick<RedisOptions, 'host' | 'port' | 'tls' | 'disconnectTimeout'>

/** To one address. */
export class AddressConnector extends AbstractConnector {
  readonly #options: Options

  constructor(options: unknown) {
    super((options as Options).disconnectTimeout!)
    this.#options = options as Options
  }

  async connect(): Promise<Socket> {
    const { host, port, tls } = this.#options
    this.connecting = true
    const stream = tls
      ? connectTls({ host, port, ...(tls as ConnectionOptions) })
      : connectTcp({ host: host!, port: port! })
    this.stream = stream
    stream.on('error', error => {
      this.firstError ??= error
    })
    return stream
  }
}

type ConnectToSentinel = (address: unknown, options?: object) => unknown

/** To the primary that sentinels name. */
export class PrimaryConnector extends SentinelConnector {
  constructor(options: unknown) {
    super(options as RedisOptions)
    // It is private there; the connections that it makes to sentinels need the same care.
    const own = this as unknown as { connectToSentinel: ConnectToSentinel }
    const connect = own.connectToSentinel.bind(this)
    own.connectToSentinel = (address, options) => connect(address, { ...options, Connector: AddressConnector })
  }

  override async connect(tell: Parameters<SentinelConnector['connect']>[0]) {
    const stream = await super.connect(tell)
    stream.on('error', () => {})
    return stream
  }
}
