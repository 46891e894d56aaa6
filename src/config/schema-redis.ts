// The `redis` key: where replicas share revisions, pinned users and what they report of each other. Absent, a
// turnout is alone.
import Type, { type Static } from 'typebox'
import { choice, duration, object, text } from './schema-parts.ts'

const SentinelSchema = object(
  {
    username: text({ default: '', description: 'ACL user of the sentinels; empty = their default user.' }),
    password: text({ default: '', description: 'Password of the sentinels; empty = they want none.' }),
  },
  {
    default: {},
    description: 'How to log in at the sentinels themselves, which may differ from the Redis they watch.',
  },
)

const TlsSchema = object(
  {
    ca: text({
      default: '',
      description: 'File with the CA certificates (PEM) that are trusted; empty = those of the system.',
    }),
    cert: text({ default: '', description: 'File with the certificate (PEM) that turnout shows; empty = none.' }),
    key: text({ default: '', description: 'File with the private key (PEM) of that certificate.' }),
    serverName: text({
      default: '',
      description: 'Name that the certificate of Redis must have; empty = the host of the URL.',
    }),
  },
  { default: {}, description: 'TLS, for rediss URLs.' },
)

export const RedisSchema = object(
  {
    url: text({
      minLength: 1,
      description:
        'redis://host:6379/0, redis+sentinel://host:26379,host:26379/name/0 or redis+cluster://host:7000,host:7001; with rediss in place of redis over TLS. May begin with user:password@.',
    }),
    prefix: Type.String({
      pattern: '^[A-Za-z0-9_.:-]{1,64}$',
      default: 'turnout',
      description: 'What all keys begin with: turnouts with the same one share everything.',
      expected: { what: 'a prefix', how: 'Use up to 64 letters, digits, "_", ".", ":" and "-".' },
    }),
    username: text({ default: '', description: 'ACL user; may stand in the URL instead. Empty = the default user.' }),
    password: text({ default: '', description: 'Password; may stand in the URL instead. Empty = none.' }),
    sentinel: SentinelSchema,
    tls: TlsSchema,
    lease: duration('1s', '5m', {
      default: '5s',
      description: 'A replica that is silent this long is taken for gone.',
    }),
    readyWithout: choice(['known', 'always', 'never'], {
      default: 'known',
      description:
        '/readyz while Redis has not been reached since the start: known = ready with a revision that the replicas shared before, always = ready with any, never = waits for Redis.',
    }),
  },
  {
    required: ['url'],
    description: 'What replicas share their state through; absent = this turnout is alone. Fixed until a restart.',
  },
)

export type RedisConfig = Static<typeof RedisSchema>
