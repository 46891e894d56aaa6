// `turnout version`: which build this is.
import { readBuild } from '../observe/build.ts'

/** Prints version, commit and Node; answers the exit code. */
export function version(out: (line: string) => void, options: { json: boolean }): number {
  const build = readBuild()
  if (options.json) out(JSON.stringify(build))
  else out(`turnout ${build.version} (commit ${build.commit}, Node ${build.node})`)
  return 0
}
