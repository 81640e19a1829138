import { cutToWidth, displayWidth, plainText } from './values.ts'

/** A narrower column says nothing any more. */
const COLUMN_WIDTH_MIN = 6
const GAP = '  '

export interface Column<Row> {
  /** Upper-case. */
  readonly header: string
  readonly value: (row: Row) => string | number | null
  readonly align?: 'right'
  /** Never cut, as ids, which are to be copied. */
  readonly isWhole?: true
  /** Adds colour; gets the cell as it will be shown, without padding. */
  readonly paint?: (cell: string, row: Row) => string
}

/**
 * Lines of a table with a header. Where `widthMax` is given, the widest columns are cut with '…' until it fits.
 * An absent or empty value is shown as '-'.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  widthMax?: number,
): string {
  const cells = rows.map((row) => columns.map((column) => cellText(column.value(row))))
  const widths = columns.map((column, at) =>
    Math.max(displayWidth(column.header), ...cells.map((line) => displayWidth(line[at] ?? ''))),
  )
  if (widthMax !== undefined) {
    const mayCut = columns.map((column) => column.isWhole !== true)
    narrow(widths, mayCut, widthMax)
  }
  const lines = [
    columns.map((column, at) =>
      pad(column.header, widths[at] ?? 0, column, at === widths.length - 1),
    ),
    ...rows.map((row, line) =>
      columns.map((column, at) =>
        paintedCell(
          cells[line]?.[at] ?? '',
          widths[at] ?? 0,
          column,
          row,
          at === widths.length - 1,
        ),
      ),
    ),
  ]
  return lines.map((line) => `${line.join(GAP).trimEnd()}\n`).join('')
}

function cellText(value: string | number | null): string {
  const text = value === null ? '' : plainText(String(value))
  return text === '' ? '-' : text
}

/** Takes space from the widest column that may be cut, again and again. */
function narrow(widths: number[], mayCut: readonly boolean[], widthMax: number): void {
  const gaps = GAP.length * (widths.length - 1)
  for (;;) {
    const excess = widths.reduce((sum, width) => sum + width, gaps) - widthMax
    const cuttable = widths.filter((_, at) => mayCut[at] === true)
    const widest = Math.max(0, ...cuttable)
    if (excess <= 0 || widest <= COLUMN_WIDTH_MIN) return
    const second = Math.max(0, ...cuttable.filter((width) => width < widest))
    const at = widths.findLastIndex((width, column) => width === widest && mayCut[column] === true)
    widths[at] = Math.max(COLUMN_WIDTH_MIN, second, widest - excess)
  }
}

function pad<Row>(text: string, width: number, column: Column<Row>, isLast: boolean): string {
  const cut = cutToWidth(text, width)
  const space = ' '.repeat(Math.max(0, width - displayWidth(cut)))
  if (column.align === 'right') return space + cut
  return isLast ? cut : cut + space
}

function paintedCell<Row>(
  text: string,
  width: number,
  column: Column<Row>,
  row: Row,
  isLast: boolean,
): string {
  const padded = pad(text, width, column, isLast)
  if (column.paint === undefined) return padded
  const bare = padded.trim()
  return padded.replace(bare, () => column.paint?.(bare, row) ?? bare)
}

/** Lines 'label  value', aligned, indented by two. Absent values are left out. */
export function renderFields(
  fields: readonly (readonly [string, string | number | null])[],
): string {
  const shown = fields.filter(([, value]) => value !== null && value !== '')
  const width = Math.max(0, ...shown.map(([label]) => displayWidth(label)))
  return shown
    .map(([label, value]) => `  ${label.padEnd(width)}  ${plainText(String(value))}\n`)
    .join('')
}
