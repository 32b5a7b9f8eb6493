using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.SignIn;

/// <summary>A portal, and the token by which it knows the caller.</summary>
internal sealed record Account(Uri Address, string Token)
{
    public const string AddressVariable = "LAB_URL";
    public const string TokenVariable = "LAB_TOKEN";

    /// <summary>From the environment, and from what <c>lab login</c> stored. A stored token is only ever sent to the portal that it was stored for.</summary>
    public static Account OfThisPerson()
    {
        var stored = AccountFile.Read();
        var address = Variable(AddressVariable) is { } named ? ReadAddress(named) : stored?.Address;
        if (address is null) throw new CommandFailed(Exit.NotAllowed, $"You are not signed in: \"lab login\", or set {AddressVariable} and {TokenVariable}.");
        if (Variable(TokenVariable) is { } token) return new Account(address, ReadToken(token));
        if (stored is null) throw new CommandFailed(Exit.NotAllowed, $"You are not signed in: \"lab login\", or set {TokenVariable}.");
        return stored.Address == address
            ? stored
            : throw new CommandFailed(Exit.NotAllowed, $"You are signed in to {Safe.Text(stored.Address.ToString())}, not to {Safe.Text(address.ToString())}: \"lab login\" there, or set {TokenVariable}.");
    }

    public static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    public static Uri ReadAddress(string text)
    {
        var full = text.Contains("://", StringComparison.Ordinal) ? text : $"https://{text}";
        if (Uri.TryCreate(full.Trim(), UriKind.Absolute, out var address) && address.Scheme is "http" or "https" && address is { Host.Length: > 0, UserInfo.Length: 0, Query.Length: 0, Fragment.Length: 0 })
            return new Uri(address.AbsoluteUri.TrimEnd('/') + "/");
        throw new CommandFailed(Exit.Invalid, $"\"{Safe.Text(text)}\" is not the address of a portal; it looks like https://labs.example.org.");
    }

    public static string ReadToken(string text) => text.Trim() is { Length: > 0 and <= 1000 } token && token.All(letter => letter is > ' ' and <= '~')
        ? token
        : throw new CommandFailed(Exit.Invalid, "That is not a token: it has visible ASCII characters only, without spaces.");

    public override string ToString() => $"an account at {Address}";
}

/// <summary>Where the account is stored: for this person alone (mode 0600), in the XDG configuration folder.</summary>
internal static class AccountFile
{
    public static string Location { get; } = Path.Combine(ConfigurationFolder(), "labportal", "account.json");

    public static Account? Read()
    {
        if (!File.Exists(Location)) return null;
        try
        {
            var stored = JsonNode.Parse(File.ReadAllText(Location));
            return new Account(Account.ReadAddress(stored.Text("address")), Account.ReadToken(stored.Text("token")));
        }
        catch (Exception fault) when (fault is JsonException or CommandFailed)
        {
            throw new CommandFailed(Exit.Invalid, $"{Location} is not what \"lab login\" stored: sign in again.", fault);
        }
    }

    /// <summary>Whole or not at all; nobody else can read it at any moment.</summary>
    public static async Task WriteAsync(Account account, CancellationToken cancellation)
    {
        var folder = Path.GetDirectoryName(Location)!;
        var fresh = Location + ".new";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (OperatingSystem.IsWindows())
        {
            // The profile's own folder is the person's alone there.
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        File.Delete(fresh);
        var json = new JsonObject { ["address"] = account.Address.AbsoluteUri, ["token"] = account.Token };
        await using (var file = new FileStream(fresh, options)) await JsonSerializer.SerializeAsync(file, json, cancellationToken: cancellation);
        File.Move(fresh, Location, overwrite: true);
    }

    public static bool Delete()
    {
        if (!File.Exists(Location)) return false;
        File.Delete(Location);
        return true;
    }

    // The XDG specification: a relative path is no answer.
    private static string ConfigurationFolder()
    {
        if (OperatingSystem.IsWindows()) return Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData);
        return Environment.GetEnvironmentVariable("XDG_CONFIG_HOME") is { } folder && Path.IsPathRooted(folder)
            ? folder
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".config");
    }
}
