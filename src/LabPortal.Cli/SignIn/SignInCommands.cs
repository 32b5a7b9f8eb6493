using System.CommandLine;
using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.SignIn;

internal static class SignInCommands
{
    public static Command Login()
    {
        var address = new Argument<string?>("ADDRESS") { Description = $"The portal, like https://labs.example.org; else {Account.AddressVariable}, else it is asked for.", Arity = ArgumentArity.ZeroOrOne };
        return new Command("login", $"Sign in with an API token of your profile page: from {Account.TokenVariable}, else asked for without showing it, else the first line that is piped in.") { address }
            .Does(async (call, cancellation) =>
            {
                var portal = Account.ReadAddress(call.Value(address) ?? Account.Variable(Account.AddressVariable) ?? await AskAddressAsync(cancellation));
                var account = new Account(portal, Account.ReadToken(Account.Variable(Account.TokenVariable) ?? await AskTokenAsync(cancellation)));
                if (portal.Scheme == Uri.UriSchemeHttp && !portal.IsLoopback) Terminal.Say($"Careful: the token travels unencrypted to {Safe.Text(portal.Host)}.");

                // Nothing is stored that does not work.
                using var api = new PortalApi(account, Call.IsVerbose);
                var me = await api.GetAsync("me", cancellation);
                await AccountFile.WriteAsync(account, cancellation);
                Terminal.Say($"Signed in to {Safe.Text(portal.AbsoluteUri)} as {Safe.Text(me.Text("name"))}.");
            });
    }

    public static Command Logout() => new Command("logout", "Forget the portal and the token on this machine. The token itself is taken back on your profile page.").Does((_, _) =>
    {
        Terminal.Say(AccountFile.Delete() ? "Signed out." : "You were not signed in.");
        if (Account.Variable(Account.TokenVariable) is not null) Terminal.Say($"{Account.TokenVariable} is still set.");
        return Task.CompletedTask;
    });

    private static Task<string> AskAddressAsync(CancellationToken cancellation) => Terminal.CanAsk
        ? Terminal.AskAsync("Address of the portal: ", cancellation)
        : throw new CommandFailed(Exit.Invalid, $"Which portal? \"lab login ADDRESS\", or set {Account.AddressVariable}.");

    private static async Task<string> AskTokenAsync(CancellationToken cancellation)
    {
        if (Terminal.CanAsk) return await Terminal.AskSecretAsync("API token (from your profile page; it is not shown): ", cancellation);
        return await Console.In.ReadLineAsync(cancellation)
            ?? throw new CommandFailed(Exit.Invalid, $"Which token? Set {Account.TokenVariable}, or pipe it in.");
    }
}
