/** What `./nubo` says, and leaves, when it cannot do its work: as a new user meets it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ProgramError, run, start, type Argv } from '@nubo/runtime'
import { waitUntil } from '../support/wait.ts'

const NUBO = resolve(import.meta.dirname, '../../nubo')
const TIMEOUT_MS = 60_000
const NOBODY = '65534'
/** The launcher looks for it, and no test of this file needs it. */
const HIDDEN = { program: '/usr/bin/docker-registry', package: 'docker-registry' }

interface Ended {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

async function ended(argv: Argv, env: Record<string, string>): Promise<Ended> {
  try {
    return { exitCode: 0, ...(await run({ argv, env, timeoutMs: TIMEOUT_MS })) }
  } catch (error) {
    if (!(error instanceof ProgramError) || error.failure.at !== 'exit') throw error
    const { failure, stdout, stderrTail } = error
    return { exitCode: failure.exitCode, stdout, stderr: stderrTail }
  }
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'nln-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A mount namespace in which the machine may be changed without changing it. */
async function mountNamespace(t: TestContext): Promise<(...argv: Argv) => Argv> {
  const holder = start({ argv: ['unshare', '--mount', '--propagation', 'private', 'sleep', '600'] })
  t.after(() => holder.stop({ graceMs: 0 }))
  const file = `/proc/${holder.pid}/ns/mnt`
  const own = readlinkSync('/proc/self/ns/mnt')
  await waitUntil(
    () => readlinkSync(file),
    (namespace) => namespace !== own,
  )
  return (...argv) => ['nsenter', `--mount=${file}`, '--', ...argv]
}

describe('the launcher', () => {
  it('says that it needs root, and how to get it', async (t) => {
    const home = join(temporaryFolder(t), 'c')
    const capabilities = '+dac_override,+dac_read_search' // the checkout may lie where only root may look
    const asNobody: Argv = [
      'setpriv',
      `--reuid=${NOBODY}`,
      `--inh-caps=${capabilities}`,
      `--ambient-caps=${capabilities}`,
      NUBO,
    ]
    for (const verb of ['up', 'down', 'status']) {
      const { exitCode, stderr } = await ended([...asNobody, verb], { NUBO_HOME: home })
      assert.equal(exitCode, 1)
      assert.match(stderr, new RegExp(`^nubo: 'nubo ${verb}' .* needs root\n  next: sudo `))
    }
    assert.equal(existsSync(home), false)
  })

  it('names the program that has the port of the API, and leaves nothing', async (t) => {
    const home = join(temporaryFolder(t), 'c')
    const squatter = createServer().listen(0, '127.0.0.1')
    t.after(() => squatter.close())
    await once(squatter, 'listening')
    const { port } = squatter.address() as AddressInfo // proof: it listens on TCP
    const up: Argv = [NUBO, 'up', '--no-demo', '--api-port', String(port)]
    const { exitCode, stderr } = await ended(up, { NUBO_HOME: home })
    assert.equal(exitCode, 1)
    assert.match(stderr, new RegExp(`${port}[^]*\\(process ${process.pid}\\)`))
    assert.match(stderr, /next/)
    assert.equal((await ended([NUBO, 'status'], { NUBO_HOME: home })).exitCode, 1)
    assert.equal((await ended([NUBO, 'down', '--purge'], { NUBO_HOME: home })).exitCode, 0)
    assert.equal(existsSync(home), false)
  })

  it('names package and step when the package source cannot be reached, and changes nothing', async (t) => {
    const folder = temporaryFolder(t)
    const inside = await mountNamespace(t)
    const of = (name: string): string => join(folder, name)
    for (const name of ['empty', 'state/lists/partial', 'cache/archives/partial'])
      mkdirSync(of(name), { recursive: true })
    // A machine on which the package is not installed, and whose only source is a port where nobody listens.
    const status = readFileSync('/var/lib/dpkg/status', 'utf8').split('\n\n')
    const others = status.filter((one) => !one.startsWith(`Package: ${HIDDEN.package}\n`))
    writeFileSync(of('state/status'), others.join('\n\n'))
    writeFileSync(of('sources.list'), 'deb [trusted=yes] http://127.0.0.1:1/debian bookworm main\n')
    const settings = {
      'Dir::Etc::main': '/dev/null',
      'Dir::Etc::parts': of('empty'),
      'Dir::Etc::sourcelist': of('sources.list'),
      'Dir::Etc::sourceparts': of('empty'),
      'Dir::State': of('state'),
      'Dir::State::status': of('state/status'),
      'Dir::Cache': of('cache'),
    }
    const lines = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`)
    writeFileSync(of('apt.conf'), lines.join(''))
    for (const [index, path] of ['/usr/sbin', '/etc', '/var/cache', '/usr/bin'].entries()) {
      const [upper, work] = [of(`upper-${index}`), of(`work-${index}`)]
      mkdirSync(upper)
      mkdirSync(work)
      const options = `lowerdir=${path},upperdir=${upper},workdir=${work}`
      await run({ argv: inside('mount', '-t', 'overlay', 'overlay', '-o', options, path) })
    }
    await run({ argv: inside('rm', HIDDEN.program) })

    const logsBefore = globSync('/tmp/nubo-apt*')
    const env = { NUBO_HOME: of('c'), APT_CONFIG: of('apt.conf') }
    const { exitCode, stderr } = await ended(inside(NUBO, 'up'), env)
    assert.equal(exitCode, 1)
    assert.match(stderr, /Installing Debian packages:\n  docker-registry +the image repository\n/)
    assert.match(stderr, /nubo: the package source is unreachable: .*127\.0\.0\.1:1/)
    assert.match(stderr, /  next: check the network/)
    assert.equal(existsSync(of('c')), false)
    // Nothing stays of what holds services back during an installation.
    for (const path of ['/usr/sbin', '/etc/postgresql-common', '/var/cache']) {
      const look: Argv = ['ls', '-A', path]
      assert.equal((await ended(inside(...look), {})).stdout, (await ended(look, {})).stdout, path)
    }
    const policy: Argv = ['cat', '/usr/sbin/policy-rc.d']
    assert.equal((await ended(inside(...policy), {})).stdout, (await ended(policy, {})).stdout)
    assert.deepEqual(globSync('/tmp/nubo-apt*'), logsBefore)
  })
})
