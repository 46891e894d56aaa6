// The life of the process: start, reload on SIGHUP, stop gracefully on SIGTERM or SIGINT, at once on a second
// one. Signals are taken by hand: close-with-grace ends the process itself with code 1 where the contract says
// 2 or 3, and turns SIGSEGV and its kind into JavaScript events, which Node warns can hang a broken process.
import type { Log } from '../observe/log.ts'
import type { ControlPlane } from './control-plane.ts'
import { described, InvalidConfig } from './errors.ts'

/** Exit codes of CONTRACT §1. */
export const EXIT = { done: 0, failedStart: 1, forcedQuit: 2, failedQuit: 3 } as const

export type LifecycleOptions = {
  plane: ControlPlane
  log: Log
  /** Called once requests are served. */
  onReady: () => void
  /** Ends the process at once. */
  quit: (code: number) => void
}

/** Runs until a signal ends it; answers the exit code. */
export async function live({ plane, log, onReady, quit }: LifecycleOptions): Promise<number> {
  const asked = Promise.withResolvers<{ code: number }>()
  let stopping = false

  const onStop = (signal: NodeJS.Signals) => {
    if (stopping) {
      log.warn({ signal }, 'second signal, quitting at once')
      quit(EXIT.forcedQuit)
      return
    }
    stopping = true
    log.info({ signal }, 'stopping')
    asked.resolve({ code: EXIT.done })
  }
  // A bug of the control plane must not cut the requests that the workers are serving.
  const onBug = (error: unknown) => {
    log.error({ err: error }, 'unexpected error')
    stopping = true
    asked.resolve({ code: EXIT.failedQuit })
  }
  let ready = false
  let reloadWanted = false
  const onReload = () => {
    if (stopping) log.warn({}, 'stopping, the config is not read again')
    else if (ready) void plane.reload()
    else reloadWanted = true
  }

  process.on('SIGTERM', onStop)
  process.on('SIGINT', onStop)
  process.on('SIGHUP', onReload)
  process.on('uncaughtException', onBug)
  try {
    try {
      await plane.start()
    } catch (error) {
      if (error instanceof InvalidConfig) {
        for (const line of error.message.split('\n')) log.error({}, line)
      } else {
        log.error(...described(error, 'turnout could not start'))
      }
      return EXIT.failedStart
    }
    ready = true
    onReady()
    if (reloadWanted) onReload()
    const { code } = await asked.promise
    try {
      const forced = await plane.stop()
      log.info({ forced }, 'stopped')
      return code
    } catch (error) {
      log.error(...described(error, 'turnout could not stop cleanly'))
      return EXIT.failedQuit
    }
  } finally {
    process.off('SIGTERM', onStop)
    process.off('SIGINT', onStop)
    process.off('SIGHUP', onReload)
    process.off('uncaughtException', onBug)
  }
}
