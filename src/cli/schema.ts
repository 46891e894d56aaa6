// `turnout schema`: prints the JSON Schema of the config file, for editors and other tools.
import { jsonSchema } from '../config/json-schema.ts'

/** Prints the schema; answers the exit code. */
export function schema(out: (line: string) => void): number {
  out(JSON.stringify(jsonSchema(), null, 2))
  return 0
}
