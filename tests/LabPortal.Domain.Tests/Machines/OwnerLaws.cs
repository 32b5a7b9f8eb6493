using CsCheck;
using LabPortal.Domain.Machines;
using Xunit;

namespace LabPortal.Domain.Tests.Machines;

public sealed class OwnerLaws
{
    private static readonly Gen<Owner> Owners = Gen.Select(Gen.Guid, Gen.Guid, Gen.Guid, Gen.Bool, Gen.Int[0, int.MaxValue],
        (installation, lab, machine, ofLab, generation) => new Owner(new InstallationId(installation), new LabId(lab), ofLab ? null : new MachineId(machine), generation));

    private static readonly Gen<string> Suffixes = Gen.OneOf(Gen.Const(""), Gen.String[Gen.Char.AlphaNumeric, 0, 12].Select(text => "." + text), Gen.Const(".a.b"));

    [Fact]
    public void A_name_is_read_back_as_what_it_was_made_of() => Gen.Select(Owners, Suffixes).Sample((owner, suffix) =>
    {
        Assert.True(Owner.TryReadName(owner.Installation, owner.ResourceName + suffix, out var read));
        Assert.Equal(new OwnedName(owner.Machine?.Value ?? owner.Lab.Value, owner.Generation, suffix), read);
    });

    [Fact]
    public void A_name_fits_every_provider() => Owners.Sample(owner =>
    {
        Assert.Matches("^lp-[0-9a-f]{12}-[0-9a-f]{32}-g[0-9]{1,10}$", owner.ResourceName);
        Assert.InRange(owner.ResourceName.Length, 1, 60);
        Assert.StartsWith(Owner.InstallationPrefix(owner.Installation), owner.ResourceName, StringComparison.Ordinal);
    });

    [Fact]
    public void A_snapshots_name_is_read_by_its_own_machine_in_its_own_generation_alone() => Gen.Select(Owners, Owners, Gen.Guid).Sample((owner, other, id) =>
    {
        var snapshot = new SnapshotId(id);
        var name = owner.SnapshotName(snapshot);
        Assert.Equal(snapshot, owner.ReadSnapshotName(name));
        Assert.Null(owner.ReadSnapshotName(name.ToUpperInvariant()));
        Assert.Null(owner.ReadSnapshotName(owner.ResourceName));
        Assert.Equal(other.ResourceName == owner.ResourceName ? snapshot : null, other.ReadSnapshotName(name));
        Assert.Null((owner with { Generation = owner.Generation ^ 1 }).ReadSnapshotName(name));
        Assert.True(Owner.TryReadName(owner.Installation, name, out var read));
        Assert.StartsWith(Owner.SnapshotSuffix, read.Suffix, StringComparison.Ordinal);
    });

    [Fact]
    public void Another_installations_name_is_never_read() => Gen.Select(Owners, Gen.Guid, Suffixes).Sample((owner, other, suffix) =>
    {
        // Two installations whose last 12 digits agree cannot be told apart by name: one in 2^48 of random ones.
        if (Owner.InstallationPrefix(new InstallationId(other)) == Owner.InstallationPrefix(owner.Installation)) return;
        Assert.False(Owner.TryReadName(new InstallationId(other), owner.ResourceName + suffix, out var read));
        Assert.Null(read);
    });

    [Fact]
    public void Installations_made_one_after_the_other_have_prefixes_of_their_own()
    {
        var prefixes = Enumerable.Range(0, 2000).Select(_ => Owner.InstallationPrefix(new InstallationId(Ids.New(TimeProvider.System))));
        Assert.Distinct(prefixes);
    }

    [Fact]
    public void A_name_with_one_character_changed_is_never_read_as_the_same() =>
        Gen.Select(Owners, Gen.Int[0, 200], Gen.Char["0123456789abcdefg-.X é"]).Sample((owner, at, character) =>
        {
            var name = owner.ResourceName.ToCharArray();
            at %= name.Length;
            if (name[at] == character) return;
            name[at] = character;
            var isRead = Owner.TryReadName(owner.Installation, new string(name), out var read);
            Assert.True(!isRead || read != new OwnedName(owner.Machine?.Value ?? owner.Lab.Value, owner.Generation, ""), new string(name));
        });

    [Fact]
    public void No_text_makes_reading_fail() => Gen.Select(Owners, Gen.String, Gen.Int[0, 70]).Sample((owner, text, cut) =>
    {
        Owner.TryReadName(owner.Installation, text, out _);
        var name = owner.ResourceName;
        Owner.TryReadName(owner.Installation, name[..Math.Min(cut, name.Length)] + text, out _);
        if (cut < name.Length - 1 && name.LastIndexOf('g') is var g && cut <= g) Assert.False(Owner.TryReadName(owner.Installation, name[..cut], out _));
    });

    [Theory]
    [InlineData("g01")]
    [InlineData("g+1")]
    [InlineData("g-1")]
    [InlineData("g 1")]
    [InlineData("g1 ")]
    [InlineData("g")]
    [InlineData("g99999999999")]
    [InlineData("g١")]
    public void A_generation_is_plain_digits(string end)
    {
        var owner = new Owner(new InstallationId(Ids.New(TimeProvider.System)), default, new MachineId(Ids.New(TimeProvider.System)), 1);
        Assert.False(Owner.TryReadName(owner.Installation, owner.ResourceName[..^2] + end, out _));
    }

    [Fact]
    public void What_is_read_was_written_so() => Gen.Select(Owners, Gen.Int[0, 60], Gen.Char["0123456789abcdefABCDEFg-. "]).Sample((owner, at, character) =>
    {
        var name = owner.ResourceName.ToCharArray();
        name[at % name.Length] = character;
        if (!Owner.TryReadName(owner.Installation, new string(name), out var read)) return;
        Assert.Equal(new string(name), (owner with { Lab = new LabId(read.Id), Machine = null, Generation = read.Generation }).ResourceName + read.Suffix);
    }, iter: 20_000);

    [Fact]
    public void The_same_owner_gives_the_same_uuid_and_mac_and_another_gives_others() =>
        Gen.Select(Owners, Owners, Gen.String[Gen.Char.AlphaNumeric, 1, 8], Gen.Int[0, 8]).Sample((owner, other, purpose, card) =>
        {
            var again = new Owner(owner.Installation, owner.Lab, owner.Machine, owner.Generation);
            Assert.Equal((owner.ResourceName, owner.DerivedUuid(purpose), owner.DerivedMac(card)), (again.ResourceName, again.DerivedUuid(purpose), again.DerivedMac(card)));
            Assert.NotEqual(owner.DerivedUuid(purpose), owner.DerivedUuid(purpose + "x"));

            var next = owner with { Generation = owner.Generation == int.MaxValue ? 0 : owner.Generation + 1 };
            Assert.NotEqual((owner.ResourceName, owner.DerivedUuid(purpose)), (next.ResourceName, next.DerivedUuid(purpose)));
            if (other.ResourceName != owner.ResourceName) Assert.NotEqual(owner.DerivedUuid(purpose), other.DerivedUuid(purpose));
        });

    [Fact]
    public void A_derived_uuid_is_version_8_and_of_the_right_variant() => Owners.Sample(owner =>
    {
        var text = owner.DerivedUuid("machine").ToString();
        Assert.Equal('8', text[14]);
        Assert.True(text[19] is (>= '8' and <= '9') or 'a' or 'b', text);
    });

    [Fact]
    public void A_derived_mac_is_a_unicast_local_one() => Gen.Select(Owners, Gen.Int[0, 8]).Sample((owner, card) =>
    {
        var mac = owner.DerivedMac(card);
        Assert.Matches("^52(:[0-9a-f]{2}){5}$", mac);
        Assert.Equal(0b10, Convert.ToByte(mac[..2], 16) & 0b11);
        Assert.NotEqual(mac, owner.DerivedMac(card + 1));
    }, iter: 100);
}
