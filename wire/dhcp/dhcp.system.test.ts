// Proves that a DHCP client of the field, udhcpc of busybox, gets, renews, loses and gives back a lease from the responder,
// over a real link between two network namespaces.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Binding } from './binding.ts'
import { CLIENT_INTERFACE, makeClientLink, type ClientLink } from './testing/client-link.ts'
import { startInNamespace, type ProgramInNamespace } from './testing/program-in-namespace.ts'
import { binding } from './testing/requests.ts'
import { UDP_SERVER_PROGRAM } from './testing/udp-server.ts'

// What udhcpc calls at each event: it says all that it was told, and takes the address on or off.
const EVENT_SCRIPT = `#!/bin/sh
case "$1" in
  bound) ip addr add "$ip/$mask" broadcast "$broadcast" dev "$interface"; ip link set "$interface" mtu "$mtu" ;;
  deconfig) ip addr flush dev "$interface" ;;
esac
echo "event=$1 ip=$ip mask=$mask subnet=$subnet broadcast=$broadcast router=$router dns=$dns mtu=$mtu" \\
  "hostname=$hostname domain=$domain search=$search ntpsrv=$ntpsrv staticroutes=$staticroutes" \\
  "lease=$lease serverid=$serverid siaddr=$siaddr message=$message;"
`

describe('udhcpc', () => {
  let directory: string
  let link: ClientLink
  let server: ProgramInNamespace
  const undo: (() => Promise<void>)[] = []

  const start = (namespace: string, argv: readonly string[]): ProgramInNamespace => {
    const program = startInNamespace(namespace, argv)
    undo.push(program.stop)
    return program
  }

  const startServer = async (bound: Binding): Promise<ProgramInNamespace> => {
    const argv = [process.execPath, UDP_SERVER_PROGRAM, JSON.stringify(bound)]
    const program = start(link.serverNamespace, argv)
    await program.nextLine(/^listening$/)
    return program
  }

  const startClient = (...args: string[]): ProgramInNamespace => {
    const fixed = [
      'busybox',
      'udhcpc',
      '-f',
      '-i',
      CLIENT_INTERFACE,
      '-s',
      join(directory, 'event'),
    ]
    const asked = ['staticroutes', 'mtu', 'search'].flatMap((name) => ['-O', name])
    const tries = ['-n', '-t', '10', '-T', '1']
    return start(link.clientNamespace, [...fixed, ...asked, ...tries, ...args])
  }

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nt-dhcp-'))
    undo.push(() => rm(directory, { recursive: true }))
    await writeFile(join(directory, 'event'), EVENT_SCRIPT, { mode: 0o755 })
    link = await makeClientLink(`nt-dhcp-${process.pid}`, binding)
    undo.push(link.remove)
    server = await startServer(binding)
  })

  after(async () => {
    for (const step of undo.toReversed()) await step()
  })

  test('understands every option of its lease', async () => {
    const client = startClient('-q')
    await client.nextLine(/^event=deconfig /)
    assert.equal(
      await client.nextLine(/^event=bound /),
      'event=bound ip=10.9.0.7 mask=24 subnet=255.255.255.0 broadcast=10.9.0.255 router=10.9.0.1 ' +
        'dns=10.9.0.1 10.9.0.2 mtu=1450 hostname=web-1 domain=shop.internal search=shop.internal internal ' +
        'ntpsrv=10.9.0.9 staticroutes=169.254.169.254/32 10.9.0.1 0.0.0.0/0 10.9.0.1 ' +
        'lease=3600 serverid=10.9.0.1 siaddr= message=;',
    )
    assert.equal(await server.nextLine(/^offer/), 'offer 10.9.0.7')
    assert.equal(await server.nextLine(/^ack/), 'ack 10.9.0.7')
  })

  test('gets the bound address although it asks for another, by broadcast if it wants that', async () => {
    const client = startClient('-q', '-B', '-r', '10.9.0.99')
    assert.match(await client.nextLine(/^event=bound /), / ip=10\.9\.0\.7 /)
    assert.equal(await server.nextLine(/^offer/), 'offer 255.255.255.255')
    assert.equal(await server.nextLine(/^ack/), 'ack 255.255.255.255')
  })

  test('renews at the server and gives its address back', async () => {
    const client = startClient()
    await client.nextLine(/^event=bound /)
    assert.match(await link.inClient('addr', 'show', CLIENT_INTERFACE), /10\.9\.0\.7\/24/)
    client.signal('SIGUSR1')
    assert.match(await client.nextLine(/^event=renew /), / ip=10\.9\.0\.7 .* lease=3600 /)
    assert.equal(await server.nextLine(/^offer/), 'offer 10.9.0.7')
    assert.equal(await server.nextLine(/^ack/), 'ack 10.9.0.7')
    assert.equal(await server.nextLine(/^ack/), 'ack 10.9.0.7')
    client.signal('SIGUSR2')
    await client.nextLine(/^event=deconfig /)
    await server.nextLine(/^released$/)
  })

  test('loses an address that is no longer its own, and gets the new one', async () => {
    const client = startClient('-B')
    await client.nextLine(/^event=bound ip=10\.9\.0\.7 /)
    await server.stop()
    const changed = await startServer({ ...binding, address: '10.9.0.8' })
    client.signal('SIGUSR1')
    assert.match(await client.nextLine(/^event=nak /), / message=wrong address;$/)
    assert.equal(await changed.nextLine(/^nak/), 'nak 255.255.255.255')
    await client.nextLine(/^event=bound ip=10\.9\.0\.8 /)
  })
})
