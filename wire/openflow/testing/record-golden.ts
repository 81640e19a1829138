import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { MESSAGE_TYPE, type Message } from '../message.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from '../version.ts'
import { FakeSwitch } from './fake-switch.ts'
import { GOLDEN_CASES, GOLDEN_MESSAGES, type GoldenMessage } from './golden-cases.ts'

const run = promisify(execFile)

/** What ovs-ofctl wrote for each text, in hex; the xid is zeroed. */
export interface GoldenBytes {
  readonly text: string
  readonly openflow14: string
  readonly openflow15: string
}

export const GOLDEN_FILE = fileURLToPath(new URL('golden.json', import.meta.url))

const COMMAND_TIMEOUT_MS = 20_000

/** Runs ovs-ofctl against a listener of ours and returns what it sent, without greetings and barriers. */
export async function recordOfctl(
  version: OpenFlowVersion,
  args: (target: string) => readonly string[],
  input = '',
): Promise<readonly Message[]> {
  const directory = await mkdtemp(join(tmpdir(), 'nt-of-'))
  const fakes: FakeSwitch[] = []
  const server = createServer((socket) => {
    const fake = new FakeSwitch(socket, { version })
    fakes.push(fake)
    fake.hello()
  })
  try {
    const path = join(directory, 's')
    await listen(server, path)
    const name = version === VERSION_15 ? 'OpenFlow15' : 'OpenFlow14'
    const child = run('ovs-ofctl', ['-O', name, '--no-names', ...args(`unix:${path}`)], {
      timeout: COMMAND_TIMEOUT_MS,
    })
    child.child.stdin?.end(input)
    await child
  } finally {
    server.close()
    await rm(directory, { recursive: true, force: true })
  }
  return fakes.flatMap((fake) => fake.received).filter(isWorthKeeping)
}

function isWorthKeeping({ type }: Message): boolean {
  const noise: readonly number[] = [
    MESSAGE_TYPE.hello,
    MESSAGE_TYPE.echoRequest,
    MESSAGE_TYPE.barrierRequest,
  ]
  return !noise.includes(type)
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, resolve)
  await promise
}

const INNER_XID = { from: 12, to: 16 }

/** A whole message in hex, xid zeroed, also the one of a message inside. */
export function messageHex({ version, type, body: received }: Message): string {
  const body = Buffer.from(received)
  if (type === MESSAGE_TYPE.bundleAdd) body.fill(0, INNER_XID.from, INNER_XID.to)
  const header = Buffer.alloc(8)
  header.writeUInt8(version, 0)
  header.writeUInt8(type, 1)
  header.writeUInt16BE(body.length + 8, 2)
  return Buffer.concat([header, body]).toString('hex')
}

/** The bytes of ovs-ofctl for these lines of `add-flows`, one message each. */
export async function recordFlowMods(
  version: OpenFlowVersion,
  lines: readonly string[],
): Promise<readonly string[]> {
  const messages = await recordOfctl(
    version,
    (target) => ['add-flows', target, '-'],
    `${lines.join('\n')}\n`,
  )
  if (messages.length !== lines.length) {
    throw new Error(`${messages.length} messages for ${lines.length} flows`)
  }
  return messages.map(messageHex)
}

async function recordMessage(version: OpenFlowVersion, wanted: GoldenMessage): Promise<string> {
  const messages = await recordOfctl(version, wanted.args, wanted.input)
  const message = messages[wanted.position ?? 0]
  if (message === undefined) throw new Error(`ovs-ofctl sent nothing for ${wanted.text}`)
  return messageHex(message)
}

/** All golden cases as the ovs-ofctl of this machine writes them: flow-mods first, then other messages. */
export async function recordGolden(): Promise<readonly GoldenBytes[]> {
  const texts = GOLDEN_CASES.map(({ text }) => text)
  const flows14 = await recordFlowMods(VERSION_14, texts)
  const flows15 = await recordFlowMods(VERSION_15, texts)
  const golden = texts.map((text, index) => ({
    text,
    openflow14: flows14[index] ?? '',
    openflow15: flows15[index] ?? '',
  }))
  for (const message of GOLDEN_MESSAGES) {
    golden.push({
      text: message.text,
      openflow14: await recordMessage(VERSION_14, message),
      openflow15: await recordMessage(VERSION_15, message),
    })
  }
  return golden
}

// `node wire/openflow/testing/record-golden.ts` writes the file anew, with the ovs-ofctl of this machine.
if (import.meta.main) {
  await writeFile(GOLDEN_FILE, `${JSON.stringify(await recordGolden(), null, 1)}\n`)
}
