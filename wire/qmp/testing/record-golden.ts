import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { duplexPair } from 'node:stream'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { QmpClient } from '../client.ts'
import { GOLDEN_FILE, GOLDEN_RANDOM, playGolden, type GoldenLine } from './golden-session.ts'
import { RealQemu } from './qemu.ts'

/**
 * Plays the golden session with a real QEMU and gives back every line of it, with the machine's folder replaced, so
 * that nothing of this machine stays in the recording but thread ids and times.
 */
export async function recordGolden(qemu: RealQemu): Promise<GoldenLine[]> {
  // Whether it has made its socket: a client that comes and goes.
  const probe = await qemu.connect()
  probe.close()
  const lines: GoldenLine[] = []
  const texts = { client: '', qemu: '' }
  const note = (from: GoldenLine['from'], chunk: Buffer): void => {
    const parts = (texts[from] + chunk.toString()).split(/\r?\n/)
    texts[from] = parts.pop() ?? ''
    for (const text of parts) lines.push({ from, text: text.replaceAll(qemu.folder, '/run/vm') })
  }
  const [ours, theirs] = duplexPair()
  const socket = createConnection({ path: qemu.socket })
  ours.on('data', (chunk: Buffer) => {
    note('client', chunk)
    socket.write(chunk)
  })
  socket.on('data', (chunk: Buffer) => {
    note('qemu', chunk)
    ours.write(chunk)
  })
  socket.on('close', () => ours.destroy())
  socket.on('error', () => ours.destroy())
  const client = await QmpClient.open(theirs, { random: GOLDEN_RANDOM })
  await playGolden(client)
  client.close()
  socket.destroy()
  return lines
}

if (import.meta.main) {
  const folder = await mkdtemp(join(tmpdir(), 'qmp-'))
  const qemu = RealQemu.startIn(folder)
  try {
    const lines = (await recordGolden(qemu)).map((line) => JSON.stringify(line))
    await writeFile(GOLDEN_FILE, `[\n${lines.join(',\n')}\n]\n`)
  } finally {
    await qemu.kill()
    await rm(folder, { recursive: true, force: true })
  }
}
