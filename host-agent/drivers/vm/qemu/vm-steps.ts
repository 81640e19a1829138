/**
 * The moments between which a call can be cut by the end of the agent. Tests end one before each of them; whatever is there
 * then, the next life finishes or clears.
 */
export const vmSteps = {
  start: [
    'start: record',
    'start: disk',
    'start: taps',
    'start: cgroup',
    'start: sockets',
    'start: qemu',
    'start: connect',
    'start: running',
    'start: go',
  ],
  kill: ['kill: intent', 'kill: signal', 'kill: record'],
  remove: [
    'remove: record',
    'remove: processes',
    'remove: taps',
    'remove: cgroup',
    'remove: sockets',
    'remove: folder',
  ],
} as const

export type VmStep = (typeof vmSteps)[keyof typeof vmSteps][number]
