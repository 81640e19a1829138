import type { z } from 'zod'
import type { wantedUpdate as wantedUpdateBefore } from '../v1/messages.ts'
import type * as before from '../v2/messages.ts'
import type { AgentMessage, ServerMessage } from './messages.ts'
import type { WantedItem } from './wanted.ts'

/** What an agent of version 2 said: it runs sets alone. */
export function agentMessageFromPrevious(message: before.AgentMessage): AgentMessage {
  switch (message.type) {
    case 'hello':
      return { ...message, accelerator: null, vmsProblem: null }
    case 'found': {
      const { sets, ...report } = message
      return { ...report, instances: sets.map((found) => ({ ...found, kind: 'set' })) }
    }
    case 'heartbeat':
    case 'probe-report':
      return message
  }
}

/** For a server of version 2, which never placed a VM anywhere: it is not told of those that are here. */
export function agentMessageToPrevious(message: AgentMessage): before.AgentMessage {
  switch (message.type) {
    case 'hello': {
      const { accelerator: _accelerator, vmsProblem: _vmsProblem, ...hello } = message
      return { ...hello, contracts: hello.contracts.filter((number) => number < 3) }
    }
    case 'found': {
      const { instances, ...report } = message
      return { ...report, sets: instances.flatMap(setOf) }
    }
    case 'heartbeat':
    case 'probe-report':
      return message
  }
}

function setOf(
  found: Extract<AgentMessage, { type: 'found' }>['instances'][number],
): Extract<before.AgentMessage, { type: 'found' }>['sets'] {
  if (found.kind !== 'set') return []
  const { kind: _kind, ...set } = found
  return [set]
}

/** For an agent of version 2, which VMs are never placed on: those of others are remote ports to it like any. */
export function serverMessageToPrevious(message: ServerMessage): before.ServerMessage {
  return message.type === 'wanted'
    ? { ...message, upserts: message.upserts.flatMap(itemToPrevious) }
    : message
}

function itemToPrevious(item: WantedItem): z.infer<typeof wantedUpdateBefore>['upserts'] {
  if (item.kind === 'vm') return []
  if (item.kind !== 'port') return [item]
  const { at, ...port } = item
  return at.on === 'vm' ? [] : [{ ...port, at }]
}

/** What a server of version 2 said: there is nothing in it that is not in version 3. */
export function serverMessageFromPrevious(message: before.ServerMessage): ServerMessage {
  return message
}
