import { priority } from '../pipeline.ts'
import { destination, register, source, whereRegisters } from '../registers.ts'
import { lowBits, move, whole, type Feature } from './feature.ts'

/** Table `deliver`: output as decided. Only these rows know that tunnels are one flow-keyed VXLAN port. */
export const deliver: Feature = {
  name: 'deliver',

  host: (tunnel) => [
    {
      table: 'deliver',
      priority: priority.normal,
      match: whereRegisters({ destination: destination.port }),
      actions: [{ type: 'output', port: register('destinationPort') }],
    },
    {
      table: 'deliver',
      priority: priority.normal,
      match: whereRegisters({ destination: destination.back }),
      actions: [{ type: 'output', port: 'inPort' }],
    },
    // Only what a guest of this host sent goes into a tunnel. What came out of one and is located elsewhere (its port
    // has just moved, or a host is confused) matches nothing and is dropped: hosts never pass packets in circles.
    {
      table: 'deliver',
      priority: priority.normal,
      match: whereRegisters({ source: source.port, destination: destination.vtep }),
      actions: [
        move(register('network'), lowBits('tunId', 24)),
        move(register('destinationVtep'), whole('tunDst')),
        { type: 'output', port: tunnel.ofport },
      ],
    },
  ],

  // OpenFlow does not send a packet out where it came in unless told so: a guest that reaches its own address
  // through the gateway must still get its packet.
  localPort: ({ ofport }) => [
    {
      table: 'deliver',
      priority: priority.exception,
      match: {
        inPort: ofport,
        ...whereRegisters({ destination: destination.port, destinationPort: ofport }),
      },
      actions: [{ type: 'output', port: 'inPort' }],
    },
  ],
}
