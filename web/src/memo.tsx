// SPDX-License-Identifier: MIT
// A component that renders again only for other props.
import {Component} from "preact";
import type {ComponentType, FunctionComponent, JSX} from "preact";

function differs(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
    const keys = Object.keys(a);
    return keys.length !== Object.keys(b).length || keys.some((key) => !Object.is(a[key], b[key]));
}

export function memo<P extends object>(Inner: FunctionComponent<P>): ComponentType<P> {
    return class Memo extends Component<P> {
        override shouldComponentUpdate(next: P): boolean {
            return differs(this.props as Record<string, unknown>, next as Record<string, unknown>);
        }

        override render(): JSX.Element {
            return <Inner {...(this.props as P)} />;
        }
    };
}
