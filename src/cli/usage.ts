// What the commands are called and take, for people.

const COMMANDS: [usage: string, does: string][] = [
  ['run --config FILE [--check] [--json] [--log-level LEVEL]', 'serve; --check only validates the file'],
  ['validate FILE [--json]', 'say everything that is wrong with a config file'],
  ['schema', 'print the JSON Schema of the config file'],
  ['demo', 'start two small versions and a proxy in front of them'],
  ['version [--json]', 'print version, commit and Node'],
  ['help', 'print this'],
]

const NOTES = `--json prints for programs, also on a terminal. LEVEL is debug, info, warn or error.
Environment: TURNOUT_CONFIG names the config file, TURNOUT_LOG_LEVEL the level; flags beat both.
Signals: SIGHUP reads the config file again, SIGTERM and SIGINT stop gracefully, a second one at once.
Exit codes: 0 done, 1 invalid config or failed start, 2 forced quit, 3 failed quit.`

const WIDTH = Math.max(...COMMANDS.map(([usage]) => usage.length))

export const USAGE = [
  'Usage: turnout COMMAND',
  '',
  ...COMMANDS.map(([usage, does]) => `  ${usage.padEnd(WIDTH)}  ${does}`),
  '',
  NOTES,
].join('\n')

/** The line of one command. */
export function usageOf(command: string): string {
  const [usage, does] = COMMANDS.find(([usage]) => usage.split(' ')[0] === command)!
  return `Usage: turnout ${usage}\n\n  ${does}\n\n${NOTES}`
}
