using System.Text;

namespace LabPortal.Providers.Simulated;

/// <summary>What a simulated guest answers to what is typed: it says everything back, and knows a few words.</summary>
internal sealed class SimulatedShell(string hostName)
{
    private const int LongestCommand = 256;

    private readonly StringBuilder _command = new();

    /// <summary>What it prints for these bytes.</summary>
    public string Answer(ReadOnlySpan<byte> typed)
    {
        var said = new StringBuilder();
        foreach (var one in typed)
        {
            switch (one)
            {
                case (byte)'\r' or (byte)'\n':
                    said.Append("\r\n").Append(Do(_command.ToString().Trim())).Append(hostName).Append("# ");
                    _command.Clear();
                    break;
                case 0x7f or 0x08 when _command.Length > 0:
                    _command.Length--;
                    said.Append("\b \b");
                    break;
                case >= 0x20 and < 0x7f when _command.Length < LongestCommand:
                    _command.Append((char)one);
                    said.Append((char)one);
                    break;
                default:
                    break;
            }
        }

        return said.ToString();
    }

    private string Do(string command) => command switch
    {
        "" => "",
        "hostname" => hostName + "\r\n",
        _ when command.StartsWith("echo ", StringComparison.Ordinal) => command[5..] + "\r\n",
        _ => $"sh: {command.Split(' ')[0]}: not found\r\n",
    };
}
