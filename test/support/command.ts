// The `turnout` command run to its end, or watched while it runs.
import { type ChildProcess, spawn } from 'node:child_process'
import { onTestFinished } from 'vitest'
import { COMMAND, poll } from './turnout.ts'

export type Outcome = { code: number; stdout: string; stderr: string }

export class Command {
  stdout = ''
  stderr = ''
  readonly child: ChildProcess
  readonly outcome: Promise<Outcome>

  constructor(args: readonly string[], env: Record<string, string> = {}, nodeOptions: readonly string[] = []) {
    // What the machine has set must not decide a test.
    const { FORCE_COLOR, NO_COLOR, TURNOUT_ADMIN_URL, TURNOUT_ADMIN_TOKEN, TURNOUT_CONFIG, ...rest } = process.env
    this.child = spawn(process.execPath, [...nodeOptions, COMMAND, ...args], {
      env: { ...rest, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(() => void this.child.kill('SIGKILL'))
    this.child.stdout!.on('data', data => {
      this.stdout += data
    })
    this.child.stderr!.on('data', data => {
      this.stderr += data
    })
    this.outcome = new Promise(resolve => {
      this.child.on('close', code => resolve({ code: code!, stdout: this.stdout, stderr: this.stderr }))
    })
  }

  /** Waits until a text was printed. */
  printed(text: string): Promise<unknown> {
    return poll(
      () => this.stdout.includes(text),
      `${JSON.stringify(text)} printed; so far ${JSON.stringify(this.stdout)}`,
    )
  }
}

/** Runs the command to its end. */
export function turnout(
  args: readonly string[],
  env?: Record<string, string>,
  nodeOptions?: readonly string[],
): Promise<Outcome> {
  return new Command(args, env, nodeOptions).outcome
}
