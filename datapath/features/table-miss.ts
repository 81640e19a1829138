import { pipeline, priority } from '../pipeline.ts'
import { goto, type Feature } from './feature.ts'

/** Every table says what happens to a packet that it does not know, and counts such packets. */
export const tableMiss: Feature = {
  name: 'table-miss',

  host: () =>
    pipeline.map(({ name, onMiss }) => ({
      table: name,
      priority: priority.miss,
      match: {},
      actions: onMiss === 'drop' ? [] : [goto(onMiss)],
    })),
}
