// The sign-in: the token of the printed address, or typed.
import { signIn, whyNotSignedIn } from "./api.js";
import { html, Component } from "./html.js";

export class Login extends Component {
  state = { token: "", why: this.props.why ?? "", isBusy: false };

  async submit(event) {
    event.preventDefault();
    this.setState({ isBusy: true, why: "" });
    const { status } = await signIn(this.state.token.trim());
    if (status === 204 || status === 200) this.props.done();
    else this.setState({ isBusy: false, why: whyNotSignedIn(status) });
  }

  render(_, { token, why, isBusy }) {
    return html`<main class="login">
      <form class="panel" onSubmit=${(event) => this.submit(event)}>
        <h1><img src="/static/favicon.svg" alt="" width="28" height="28" /> arbstream</h1>
        <p>Sign in with the viewer's or the operator's token. The dashboard prints an address that carries
          it when it starts; the token stays in this browser as a cookie that scripts cannot read.</p>
        <label>Token
          <input type="password" name="token" value=${token} autocomplete="off" autofocus
            onInput=${(event) => this.setState({ token: event.target.value })} /></label>
        ${why ? html`<p class="down" role="alert">${why}</p>` : null}
        <div class="row end"><button class="go" disabled=${isBusy || !token.trim()}>Sign in</button></div>
      </form>
    </main>`;
  }
}
