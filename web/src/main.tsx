// SPDX-License-Identifier: MIT
// Begins.
import {render} from "preact";
import {App} from "./app";
import {connect} from "./live";
import {startTheme} from "./ui";

startTheme();
render(<App />, document.getElementById("app")!);
connect();
