/** Elements: finding those of the page, making new ones, and keeping a list of them in step with rows of values. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function find(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new TypeError(`index.html has no ${type.name} with id "${id}"`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Partial<HTMLElementTagNameMap[T]>} [properties]
 * @param {(Node | string)[]} children Strings become text, never markup.
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Sets the text of an element where it differs: writing the same again would make a screen reader repeat it.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * The children of an element, one for each row, known by the row's id. A child lives as long as its row, so focus
 * and scroll position do too, and it is touched only where a member of the row has changed.
 * @template {{id: string}} Row
 * @template {HTMLElement} Child
 */
export class List {
  #parent;
  #create;
  #update;
  /** @type {Map<string, {row: Row, child: Child}>} */
  #shown = new Map();

  /**
   * @param {HTMLElement} parent
   * @param {(row: Row) => Child} create
   * @param {(child: Child, row: Row) => void} update Called after `create` too.
   */
  constructor(parent, create, update) {
    this.#parent = parent;
    this.#create = create;
    this.#update = update;
  }

  /** @param {readonly Row[]} rows */
  render(rows) {
    const last = this.#shown;
    this.#shown = new Map();
    for (const row of rows) {
      const known = last.get(row.id);
      const child = known?.child ?? this.#create(row);
      if (!known || differs(known.row, row)) this.#update(child, row);
      this.#shown.set(row.id, { row, child });
    }
    for (const [id, { child }] of last) if (!this.#shown.has(id)) child.remove();
    let next = this.#parent.firstElementChild;
    for (const { child } of this.#shown.values()) {
      if (child === next) next = next.nextElementSibling;
      else this.#parent.insertBefore(child, next);
    }
  }
}

/**
 * @template {object} T
 * @param {T} one
 * @param {T} other
 */
function differs(one, other) {
  return Object.entries(other).some(([name, value]) => one[/** @type {keyof T} */ (name)] !== value);
}
