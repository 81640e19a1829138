import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { PlatformError } from '@nubo/base'
import type { Operation, SetCreate } from '@nubo/contracts'
import {
  AnsweredItself,
  SAMPLE_TIME_MS,
  endedOperation,
  sampleAuditEntry,
  sampleHost,
  sampleId,
  sampleImage,
  sampleMember,
  sampleNetwork,
  sampleOperation,
  samplePort,
  sampleProject,
  sampleQuota,
  sampleSet,
  sampleSubnet,
  sampleToken,
  startContractServer,
  type ContractServer,
  type Handlers,
} from '@nubo/client/testing'
import { parse } from 'yaml'
import { makeHome, runCli, type Finished, type RunOptions } from './testing/child.ts'

const home = makeHome()
let server: ContractServer
let createdSet: SetCreate | undefined
let updatedSet: { id: string; name: string } | undefined
let ending: Operation
let limitsSet: unknown
let operationPolls = 0

function list<Item>(items: Item[]): { items: Item[]; revision: number; cursor: null } {
  return { items, revision: 5, cursor: null }
}

const degraded = {
  ...sampleSet,
  id: sampleId(20),
  name: 'worker',
  state: 'degraded' as const,
  reason: { code: 'CONTAINER_EXITED', text: 'Container worker ended with exit code 3.' },
}

const handlers: Handlers = {
  quotaShow: () => sampleQuota,
  quotaSet: ({ body }) => {
    limitsSet = body
    return sampleQuota
  },
  auditList: () => ({ items: [sampleAuditEntry], cursor: sampleId(32) }),
  memberSet: () => sampleMember,
  memberList: () => list([sampleMember]),
  accountCreate: () => ({ id: sampleId(31), name: 'alice', createdAtMs: SAMPLE_TIME_MS }),
  setList: ({ query }) => list(query['state'] === 'failed' ? [] : [sampleSet, degraded]),
  setShow: ({ params }) => {
    if (['nothing', 'shop', 'taken'].includes(String(params['id'])))
      throw new PlatformError('NOT_FOUND', { kind: 'set' })
    return sampleSet
  },
  setCreate: ({ body }) => {
    createdSet = body as SetCreate // proof: the server parsed it with the schema of SetCreate
    if (createdSet.name === 'taken') {
      throw new PlatformError('NAME_TAKEN', { field: 'name', name: 'taken' })
    }
    return sampleOperation
  },
  setUpdate: ({ params, body }) => {
    updatedSet = { id: String(params['id']), name: (body as SetCreate).name }
    return { ...sampleOperation, kind: 'set.update' }
  },
  setStop: () => ({ ...sampleOperation, kind: 'set.stop' }),
  setRemove: () => ({ ...sampleOperation, kind: 'set.remove' }),
  operationShow: () => (operationPolls++ === 0 ? sampleOperation : ending),
  operationList: () => list([sampleOperation]),
  networkList: () => list([sampleNetwork]),
  networkShow: () => sampleNetwork,
  networkCreate: ({ response, body }) => {
    if ((body as { name: string }).name !== 'lost') return sampleNetwork
    response.destroy()
    throw new AnsweredItself()
  },
  subnetList: () => list([sampleSubnet]),
  subnetRemove: ({ params, query }) => {
    assert.deepEqual([params['id'], query['network']], ['front', 'shop'])
    return sampleSubnet
  },
  portBind: () => ({
    ...samplePort,
    binding: { kind: 'interface', hostId: sampleId(10), host: 'host-1', interfaceName: 'tap0' },
  }),
  hostList: () => list([sampleHost]),
  brakeList: () => list([]),
  hostInvite: () => ({
    host: sampleHost,
    token: 'join-me',
    expiresAtMs: sampleHost.createdAtMs + 900_000,
  }),
  imageImport: async ({ bytes, query }) => {
    let sizeBytes = 0
    for await (const piece of bytes) sizeBytes += piece.byteLength
    return { ...sampleImage, name: String(query['name']), sizeBytes }
  },
  tokenCreate: () => ({ ...sampleToken, secret: 'the-secret' }),
  whoAmI: ({ token }) => {
    if (token !== 'secret') throw new PlatformError('UNAUTHENTICATED')
    return {
      token: sampleToken,
      project: sampleProject,
      region: 'region-1',
      serverName: 'server-1',
      version: '0.1.0',
    }
  },
  watch: async function* () {
    const nothing = { kind: null, id: null, object: null }
    yield { type: 'change', revision: 4, kind: 'set', id: sampleSet.id, object: sampleSet }
    yield { type: 'synced', revision: 5, ...nothing }
    yield { type: 'removed', revision: 6, kind: 'set', id: sampleSet.id, object: null }
    await new Promise((resolve) => setTimeout(resolve, 5_000).unref())
  },
}

before(async () => {
  server = await startContractServer({ handlers })
})
after(async () => {
  await server.close()
  rmSync(home, { recursive: true })
})

function nubo(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  operationPolls = 0
  const env = { NUBO_SERVERS: server.url, NUBO_TOKEN: 'secret', ...options.env }
  return runCli(home, args, { ...options, env })
}

/** What was asked last, as a path. */
function lastPath(): string {
  return server.received.at(-1)?.path ?? ''
}

test('a list as a table, as JSON, as YAML and as names; nothing is cut in a pipe', async () => {
  const table = await nubo(['set', 'ls'])
  assert.equal(table.code, 0)
  assert.equal(table.stderr, '')
  const [header, web, worker] = table.stdout.split('\n')
  assert.match(
    header ?? '',
    /^NAME +STATE +HOST +ADDRESS +NETWORK +CONTAINERS +RESTARTS +AGE +REASON$/,
  )
  assert.match(web ?? '', /^web +running +host-1 +10\.0\.1\.5 +shop +1\/1 +0 +\d+ \w+ +-$/)
  assert.match(worker ?? '', /Container worker ended with exit code 3\.$/)

  const json = await nubo(['-o', 'json', 'set', 'ls'])
  assert.deepEqual(JSON.parse(json.stdout), [sampleSet, degraded])
  const yaml = await nubo(['set', 'ls', '--output=yaml'])
  assert.deepEqual(parse(yaml.stdout), [sampleSet, degraded])
  assert.equal((await nubo(['set', 'ls', '-oname'])).stdout, 'web\nworker\n')
})

test('an empty list says what to do; filters and the project reach the server', async () => {
  const empty = await nubo(['set', 'ls', '--state', 'failed', '--project', 'demo'])
  assert.equal(empty.stdout, '')
  assert.match(empty.stderr, /no set yet.*nubo set run/)
  assert.equal(
    lastPath(),
    '/v1/sets?project=demo&state=failed&limit=1000'.replace('&limit=1000', ''),
  )
  const json = await nubo(['set', 'ls', '--state', 'failed', '-o', 'json'])
  assert.deepEqual([json.stdout, json.stderr], ['[]\n', ''])
})

test('show tells why each other host was not chosen', async () => {
  const { stdout, code } = await nubo(['set', 'show', 'web'])
  assert.equal(code, 0)
  assert.match(stdout, /^web {2}running since /)
  assert.match(stdout, /limits +0\.5 cores, 128 MiB/)
  assert.match(stdout, /REJECTED HOST +WHY\n +host-2 +memory: 128 MiB wanted, 64 MiB free/)
})

test('run: flags become one container, progress goes to stderr, the set is the result', async () => {
  ending = endedOperation('done')
  const flags =
    '--image busybox --network shop --cpu 0.25 --memory 64MiB --env A=b=c --env D=e --spread rack --recovery elsewhere'
  const done = await nubo(['set', 'run', 'web', ...flags.split(' '), '--', 'sleep', '--debug', '5'])
  assert.equal(done.code, 0, done.stderr)
  assert.match(done.stdout, /^set web runs on host-1 at 10\.0\.1\.5 \(.*s\)\n$/)
  assert.equal(done.stderr, 'set web: pulling the image\n')
  assert.equal(createdSet?.cpuMillis, 250)
  assert.equal(createdSet?.memoryBytes, 64 * 2 ** 20)
  assert.equal(createdSet?.placement.spread, 'rack')
  assert.equal(createdSet?.recovery, 'elsewhere')
  const [container, ...more] = createdSet?.containers ?? []
  assert.equal(more.length, 0)
  assert.equal(container?.name, 'web')
  assert.deepEqual(container?.command, ['sleep', '--debug', '5'])
  assert.deepEqual(container?.env, { A: 'b=c', D: 'e' })

  const json = await nubo(['set', 'run', 'web', '--image', 'i', '--network', 'n', '-o', 'json'])
  assert.deepEqual(JSON.parse(json.stdout), sampleSet)
  const later = await nubo([
    'set',
    'run',
    'web',
    '--image',
    'i',
    '--network',
    'n',
    '--no-wait',
    '-ojson',
  ])
  assert.deepEqual(JSON.parse(later.stdout), sampleOperation)
})

test('exit codes: 1 failed, 3 not placed with the reason for each host', async () => {
  const run = ['set', 'run', 'web', '--image', 'i', '--network', 'n']
  ending = endedOperation('failed', { code: 'NOT_PLACED', text: 'No host can take it.' })
  const unplaced = await nubo(run)
  assert.equal(unplaced.code, 3)
  assert.equal(unplaced.stdout, '')
  assert.match(unplaced.stderr, /error: No host can take it\. \(NOT_PLACED\)/)
  assert.match(unplaced.stderr, /host-2 +memory: 128 MiB wanted, 64 MiB free/)
  assert.match(unplaced.stderr, /next +.*nubo host ls.*nubo set show web/)
  ending = endedOperation('failed', { code: 'IMAGE_PULL_FAILED', text: 'The registry is away.' })
  assert.equal((await nubo(run)).code, 1)
  ending = endedOperation('cancelled')
  const cancelled = await nubo([...run, '-o', 'json'])
  assert.equal(cancelled.code, 1)
  const lines = cancelled.stderr.slice(cancelled.stderr.indexOf('{'))
  assert.equal((JSON.parse(lines) as { code: string }).code, 'OPERATION_CANCELLED')
  ending = endedOperation('failed', { code: 'NOT_PLACED', text: 'No host can take it.' })
  assert.equal((await nubo(['operation', 'wait', sampleId(9)])).code, 3)
})

test('apply: a set of several containers from a file or the input; problems name their field', async () => {
  ending = endedOperation('done')
  const body = {
    name: 'shop',
    network: 'shop',
    containers: [
      { name: 'database', image: 'db', index: 0 },
      { name: 'web', image: 'web', index: 1, restart: { policy: 'on-failure' } },
    ],
  }
  const file = join(home, 'set.json')
  writeFileSync(file, JSON.stringify(body))
  assert.equal((await nubo(['set', 'apply', '-f', file])).code, 0)
  assert.equal(createdSet?.containers.length, 2)
  const yaml = join(home, 'set.yaml')
  writeFileSync(yaml, 'name: shop\nnetwork: shop\ncontainers:\n  - {name: web, image: web}\n')
  assert.equal((await nubo(['set', 'apply', '-f', yaml])).code, 0)
  assert.equal(updatedSet, undefined)
  const there = { ...body, name: 'web' }
  const again = await nubo(['set', 'apply', '-f', '-'], { input: JSON.stringify(there) })
  assert.match(again.stdout, /^set web is as described; nothing changed: running on host-1/)
  assert.deepEqual(updatedSet, { id: sampleSet.id, name: 'web' })
  const taken = await nubo(['set', 'apply', '-f', '-'], {
    input: JSON.stringify({ ...body, name: 'taken' }),
  })
  assert.equal(taken.code, 1)
  assert.match(taken.stderr, /\(NAME_TAKEN\)\n +field +name\n +name +taken\n/)
  assert.match(taken.stderr, /next +choose another name/)
  const wrong = await nubo(['set', 'apply', '-f', '-'], {
    input: JSON.stringify({ ...body, containers: [{ name: 'web' }], colour: 1 }),
  })
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /containers\.0\.image: /)
  assert.match(wrong.stderr, /colour/)
  assert.equal((await nubo(['set', 'apply', '-f', '-'], { input: '{' })).code, 2)
  const missing = await nubo(['set', 'apply', '-f', join(home, 'none')])
  assert.match(missing.stderr, /there is no such file/)
})

test('several names: all are tried, one failure fails the command', async () => {
  ending = endedOperation('done')
  const removed = await nubo(['set', 'rm', 'web', 'other'])
  assert.deepEqual([removed.code, removed.stdout], [0, 'set web removed\nset web removed\n'])
  const stopped = await nubo(['set', 'stop', 'a', 'b', '--no-wait', '-o', 'json'])
  assert.equal((JSON.parse(stopped.stdout) as unknown[]).length, 2)
  const half = await nubo(['set', 'rm', 'A', 'web'])
  assert.equal(half.code, 2)
  assert.equal(half.stdout, 'set web removed\n')
  assert.match(half.stderr, /"A" is not a name or an id/)
})

test('usage errors: code 2, the command that helps, JSON when asked for', async () => {
  const cases: [string[], RegExp][] = [
    [['sett', 'ls'], /unknown command 'sett' \(Did you mean set\?\)/],
    [['set', 'lss'], /unknown command 'lss'/],
    [['set', 'ls', '--colour'], /unknown option '--colour'/],
    [['set', 'show'], /missing required argument 'set'/],
    [['network', 'create', 'shop'], /required option '--cidr <range>' not specified/],
    [['set', 'run', 'x', '--image', 'i', '--network', 'n', '--cpu', 'much'], /number of cores/],
    [['set', 'run', 'x', '--image', 'i', '--network', 'n', '--memory', 'lots'], /Give a size/],
    [
      ['set', 'run', 'x', '--image', 'i', '--network', 'n', '--host', 'h', '--spread', 'rack'],
      /exclude/,
    ],
    [['set', 'exec', 'web', 'ls', '-l'], /put '--' before the program/],
    [['set', 'logs', 'web', '--since', 'yesterday-ish'], /is no time/],
    [['set', 'ls', '-o', 'xml'], /Allowed choices are table, json, yaml, name/],
    [['up'], /done by the launcher/],
  ]
  await Promise.all(
    cases.map(async ([args, text]) => {
      const { code, stderr, stdout } = await nubo(args)
      assert.equal(code, 2, args.join(' '))
      assert.equal(stdout, '')
      assert.match(stderr, text)
      assert.match(stderr, /next/)
    }),
  )
  const json = await nubo(['set', 'show', '-o', 'json'])
  const report = JSON.parse(json.stderr) as Record<string, unknown>
  assert.deepEqual(
    [json.code, report['code'], report['next']],
    [2, 'USAGE', 'nubo set show --help'],
  )
  const verbs = await nubo(['set'])
  assert.equal(verbs.code, 2)
  assert.match(verbs.stderr, /Commands:\n +run /)
})

test('refusals: code, facts, request and next step; as JSON too', async () => {
  const absent = await nubo(['set', 'show', 'nothing'])
  assert.equal(absent.code, 1)
  assert.match(absent.stderr, /^error: No such thing exists.* \(NOT_FOUND\)\n/)
  assert.match(absent.stderr, /request +request-1\n +next +.*nubo set ls/)
  const json = await nubo(['set', 'show', 'nothing', '-o', 'json'])
  assert.deepEqual(JSON.parse(json.stderr), {
    code: 'NOT_FOUND',
    message: 'No such thing exists, or not for this token.',
    details: { kind: 'set' },
    requestId: 'request-1',
    next: "look what there is: nubo set ls (another project's things need --project)",
  })
})

test('no server: the addresses tried, and how to start the cloud', async () => {
  const gone = await startContractServer({ handlers: {} })
  await gone.close()
  const { code, stderr } = await nubo(['set', 'ls'], { env: { NUBO_SERVERS: gone.url } })
  assert.equal(code, 1)
  assert.match(stderr, /The cloud is not up/)
  assert.ok(stderr.includes(gone.url))
  assert.match(stderr, /next +start it with: nubo up/)
  const other = await nubo(['set', 'ls', '--debug'], {
    env: { NUBO_SERVERS: `${gone.url},${server.url}` },
  })
  assert.equal(other.code, 0)
  assert.match(other.stderr, /debug: GET http:\S+\/v1\/sets → .*ECONNREFUSED.* in \d+ ms/)
  assert.match(other.stderr, /debug: GET http:\S+\/v1\/sets → 200 in /)
})

test('a create whose answer is lost is looked up, not repeated', async () => {
  const before = server.received.length
  const { code, stderr } = await nubo(['network', 'create', 'lost', '--cidr', '10.0.0.0/16'])
  assert.equal(code, 1)
  assert.match(stderr, /\(OUTCOME_UNKNOWN\)/)
  assert.match(stderr, /network lost is there now/)
  assert.deepEqual(
    server.received.slice(before).map(({ name }) => name),
    ['networkCreate', 'networkShow'],
  )
})

test('login: the token is checked, kept readable by its owner only, and found again', async () => {
  const without = { NUBO_SERVERS: '', NUBO_TOKEN: '' }
  const none = await nubo(['set', 'ls'], { env: without })
  assert.match(none.stderr, /No cloud is known here\. \(NOT_LOGGED_IN\)/)
  const login = ['login', '--server', server.url, '--token-stdin']
  const refused = await nubo(login, { env: without, input: 'wrong\n' })
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /\(UNAUTHENTICATED\)/)
  const file = join(home, '.config', 'nubo', 'login.json')
  const accepted = await nubo([...login, '--project', 'demo'], { env: without, input: 'secret\n' })
  assert.equal(accepted.code, 0, accepted.stderr)
  assert.match(accepted.stdout, /token +ci \(member\)/)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), {
    servers: [server.url],
    token: 'secret',
    project: 'demo',
  })
  assert.equal((await nubo(['set', 'ls'], { env: without })).code, 0)
  assert.equal(lastPath(), '/v1/sets?project=demo')
  rmSync(file)
})

test('the cloud of this machine is found in NUBO_HOME', async () => {
  const cloud = join(home, 'cloud')
  mkdirSync(cloud)
  const tokenFile = join(cloud, 'token')
  writeFileSync(tokenFile, 'from-file\n')
  writeFileSync(join(cloud, 'cli.json'), JSON.stringify({ servers: [server.url], tokenFile }))
  const env = { NUBO_SERVERS: '', NUBO_TOKEN: '', NUBO_HOME: cloud }
  assert.equal((await nubo(['network', 'ls'], { env })).code, 0)
  assert.equal(server.received.at(-1)?.token, 'from-file')
  rmSync(tokenFile)
  const unreadable = await nubo(['network', 'ls'], { env })
  assert.equal(unreadable.code, 1)
  assert.match(unreadable.stderr, /token cannot be read: there is no such file/)
  writeFileSync(join(cloud, 'cli.json'), '{"servers":"x"}')
  chmodSync(join(cloud, 'cli.json'), 0o600)
  assert.match((await nubo(['network', 'ls'], { env })).stderr, /servers is not a list of texts/)
})

test('the other nouns', async () => {
  const subnet = await nubo(['subnet', 'rm', 'shop', 'front'])
  assert.equal(subnet.stdout, 'subnet front of shop removed\n')
  const bound = await nubo(['port', 'bind', 'web', '--host', 'host-1', '--interface', 'tap0'])
  assert.equal(bound.stdout, 'port web is bound to interface tap0 of host-1\n')
  assert.match(
    (await nubo(['host', 'ls'])).stdout,
    /host-1 +ready +compute +zone-1 +rack-1 +1 +0\.5 \/ 4/,
  )
  const invited = await nubo(['host', 'invite', 'host-1', '--role', 'compute', '--rack', 'r2'])
  assert.equal(invited.stdout, 'nubo agent join join-me\n')
  const token = await nubo(['token', 'create', 'ci', '--role', 'viewer', '--expires', '30d'])
  assert.equal(token.stdout, 'the-secret\n')
  assert.match(token.stderr, /not shown again/)
  const tar = join(home, 'image.tar')
  writeFileSync(tar, new Uint8Array(700_000))
  const image = await nubo(['image', 'import', 'box', tar, '--', 'sh', '-c', 'a b'])
  assert.match(image.stdout, /^image box imported: 683\.6 KiB, rootfs/)
  assert.match(
    image.stderr,
    /sending box: .* of 683\.6 KiB \(\d+ %\)\n(.*\n)*box: all 683\.6 KiB sent/,
  )
  assert.match(lastPath(), /name=box&command=sh&command=-c&command=a\+b$/)
  const piped = await nubo(['image', 'import', 'box', '-'], { input: new Uint8Array(10) })
  assert.match(piped.stdout, /10 B/)
  assert.match((await nubo(['image', 'import', 'box', home])).stderr, /is not a file/)
})

test('quota, audit and members', async () => {
  const shown = await nubo(['quota', 'show'])
  assert.match(shown.stdout, /^project demo\nRESOURCE +USED +LIMIT +FREE +SET BY\n/)
  assert.match(shown.stdout, /\ninstances +3 +10 +7 +project\n/)
  assert.match(shown.stdout, /\nmemory +1 GiB +none +- +region\n/)
  await nubo(['quota', 'set', '--memory', '2GiB', '--networks', 'none', '--cpu', 'default'])
  assert.deepEqual(limitsSet, { cpuMillis: 'default', memoryBytes: 2 ** 31, networks: null })
  assert.match((await nubo(['quota', 'set'])).stderr, /no limit is given/)
  const audit = await nubo(['audit', 'ls', '--actor', 'ci', '--limit', '1'])
  assert.match(audit.stdout, /\n2026-11-20 12:00:00 +ci +setCreate +set web +QUOTA_EXCEEDED +/)
  assert.match(audit.stderr, /the newest 1; more with --limit/)
  const added = await nubo(['project', 'member', 'add', 'demo', 'alice', '--role', 'owner'])
  assert.equal(added.stdout, 'alice is owner of demo\n')
  assert.equal(lastPath(), '/v1/members/alice?project=demo')
  assert.match((await nubo(['project', 'member', 'ls', 'demo'])).stdout, /\nalice +owner/)
  assert.match((await nubo(['account', 'create', 'alice'])).stdout, /^account alice created\n/)
})

test('watch prints events until it is interrupted', async () => {
  const watched = await nubo(['watch', 'set'], { killAt: ['removed', 'SIGTERM'] })
  assert.match(watched.stdout, /^4 +set +web +running, on host-1\n5 .*\n6 +set +web +removed\n$/)
  assert.equal(lastPath(), '/v1/watch?kind=set')
})

test('an interrupted wait says that the operation goes on', async () => {
  ending = sampleOperation
  const { code, stderr } = await nubo(['set', 'run', 'web', '--image', 'i', '--network', 'n'], {
    killAt: ['pulling', 'SIGINT'],
  })
  assert.equal(code, 130)
  assert.match(stderr, /the operation goes on/)
  assert.match(stderr, new RegExp(`nubo operation wait ${sampleId(9)}`))
})

test('help lists every noun and the verbs of the machine', async () => {
  const [bare, help, verb] = await Promise.all([
    nubo([]),
    nubo(['--help']),
    nubo(['help', 'set', 'run']),
  ])
  assert.deepEqual([bare.code, help.code, bare.stdout], [0, 0, help.stdout])
  const nouns =
    'set place image network subnet port operation watch project account quota audit token host login completion'
  for (const noun of nouns.split(' ')) assert.match(help.stdout, new RegExp(`\n  ${noun} `))
  const machine = 'up demo status down lab test bench sim agent'
  for (const name of machine.split(' ')) assert.match(help.stdout, new RegExp(`\n  ${name} `))
  assert.match(help.stdout, /Exit codes: 0 done, 1 failed, 2 usage, 3 not placed/)
  assert.ok(help.stdout.split('\n').every((line) => line.length <= 110))
  assert.match(verb.stdout, /--spread <level> .*host, rack, zone/)
})
